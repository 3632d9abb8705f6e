package node_test

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"parley/internal/node"
	"parley/internal/node/nodetest"
	"parley/internal/service/adminapi"
)

// childDir makes the test binary a server on the directory it names.
const childDir = "PARLEY_TEST_CHILD_DIR"

func child() int {
	err := node.Run(context.Background(), node.Options{DataDir: os.Getenv(childDir), Listen: nodetest.FreePorts(nil)}, nil)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// serve runs a server process on dir and returns when it says that it is ready.
func serve(t *testing.T, dir string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childDir+"="+dir)
	pipe, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if cmd.ProcessState == nil {
			cmd.Process.Kill()
			cmd.Wait()
		}
	})
	lines := bufio.NewScanner(pipe)
	var seen []string
	for lines.Scan() {
		seen = append(seen, lines.Text())
		if strings.Contains(lines.Text(), "msg=ready") {
			go func() { // so that the child never waits for a reader
				for lines.Scan() {
				}
			}()
			return cmd
		}
	}
	t.Fatalf("the server ended before it was ready:\n%s", strings.Join(seen, "\n"))
	return nil
}

func TestKilledServerStartsAgainWithWhatWasAccepted(t *testing.T) {
	dir := nodetest.Dir(t)
	password := nodetest.Password
	for round := range 3 {
		cmd := serve(t, dir)
		c := adminapi.NewClient(dir)
		name := fmt.Sprintf("user%d@%s", round, nodetest.Domain)
		if _, err := c.Do(t.Context(), http.MethodPut, "/users/"+name, "*", adminapi.UserChange{Password: &password}, nil); err != nil {
			t.Fatal(err)
		}
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		cmd.Wait()
		c.Close()
	}
	serve(t, dir)
	c := adminapi.NewClient(dir)
	defer c.Close()
	var users []adminapi.User
	if err := c.Get(t.Context(), "/users", &users); err != nil {
		t.Fatal(err)
	}
	if len(users) != 3 {
		t.Fatalf("users after three kills: %+v", users)
	}
}

func TestSignalsReloadAndStop(t *testing.T) {
	dir := nodetest.Dir(t)
	cmd := serve(t, dir)
	edit(t, dir, "drain", "deadline", `"1s"`)
	if err := cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	c := adminapi.NewClient(dir)
	defer c.Close()
	for { // until the reload has been taken up, nothing is pending
		var r adminapi.ReloadResult
		if _, err := c.Do(t.Context(), http.MethodPost, "/reload?dry-run=1", "", nil, &r); err != nil {
			t.Fatal(err)
		}
		if len(r.Changes) == 0 {
			break
		}
	}
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Fatalf("exit: %v", err)
	}
	if err := c.Get(t.Context(), "/status", nil); err == nil || !strings.Contains(err.Error(), "parley serve --data "+dir) {
		t.Errorf("stopped server: %v", err)
	}
}

func TestDrainOverTheAPIEndsTheProcess(t *testing.T) {
	dir := nodetest.Dir(t)
	cmd := serve(t, dir)
	c := adminapi.NewClient(dir)
	defer c.Close()
	if _, err := c.Do(t.Context(), http.MethodPost, "/drain?deadline=5s", "", nil, nil); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Fatalf("exit: %v", err)
	}
}
