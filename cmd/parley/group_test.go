package main

import (
	"encoding/json"
	"strings"
	"testing"

	"parley/internal/node/nodetest"
	"parley/internal/service/adminapi"
)

func TestGroupVerbs(t *testing.T) {
	running := server(t).Dir
	for name, dir := range map[string]string{"running server": running, "stopped server": nodetest.Dir(t)} {
		t.Run(name, func(t *testing.T) {
			for _, user := range []string{"alice", "bob", "carol"} {
				want(t, "user", "add", user+"@example.test", "--data", dir)
			}
			if out := want(t, "group", "add", "sales@example.test", "--name", "Sales", "--member", "bob@example.test", "--data", dir); out != "added sales@example.test\n" {
				t.Errorf("add: %q", out)
			}
			want(t, "group", "add", "all@example.test", "--member", "sales@example.test", "--member", "carol@example.test", "--description", "Everybody", "--data", dir)
			want(t, "group", "set", "sales@example.test", "--add", "alice@example.test", "--data", dir)
			if out := want(t, "group", "list", "--data", dir); out != "GROUP               NAME   MEMBERS\nall@example.test           2\nsales@example.test  Sales  2\n" {
				t.Errorf("list:\n%s", out)
			}
			if out := want(t, "group", "show", "all@example.test", "--data", dir); !strings.Contains(out, "members      carol@example.test sales@example.test\n") ||
				!strings.Contains(out, "description  Everybody\n") {
				t.Errorf("show:\n%s", out)
			}
			if out := want(t, "group", "show", "all@example.test", "--expand", "--data", dir); out != "carol@example.test\nbob@example.test\nalice@example.test\n" {
				t.Errorf("show --expand:\n%s", out)
			}
			out, errOut, status := parley(t, "", "group", "show", "all@example.test", "--expand=1", "--data", dir)
			if status != 0 || out != "carol@example.test\n" || !strings.Contains(errOut, "more than 1") {
				t.Errorf("show --expand=1: %d %q %q", status, out, errOut)
			}
			want(t, "group", "set", "sales@example.test", "--member", "bob@example.test", "--name", "", "--data", dir)
			var g adminapi.Group
			if err := json.Unmarshal([]byte(want(t, "group", "show", "sales@example.test", "--json", "--data", dir)), &g); err != nil || len(g.Members) != 1 || g.Name != "" {
				t.Errorf("show --json: %v %+v", err, g)
			}
			want(t, "group", "set", "sales@example.test", "--remove", "bob@example.test", "--data", dir)
			want(t, "group", "remove", "sales@example.test", "--data", dir)
			refused(t, "there is no group sales@example.test", "group", "show", "sales@example.test", "--data", dir)
			refused(t, "there is a group all@example.test already", "group", "add", "all@example.test", "--data", dir)
			refused(t, "neither a user nor a group", "group", "set", "all@example.test", "--add", "dave@example.test", "--data", dir)
			refused(t, "nothing to change", "group", "set", "all@example.test", "--data", dir)
			refused(t, "from 1 to 1000", "group", "show", "all@example.test", "--expand=0", "--data", dir)
		})
	}
}
