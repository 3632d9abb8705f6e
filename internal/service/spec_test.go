package service_test

import (
	"context"
	"net/netip"
	"strings"
	"testing"

	"parley/internal/porttable"
	"parley/internal/service"
	"parley/internal/topology"
)

func sound() service.Spec {
	return service.Spec{
		Name:    "sample",
		Roles:   []topology.Role{topology.RoleFrontEnd},
		Needs:   service.NeedSIP,
		Ports:   []service.Port{{Row: porttable.SrvFeFrontend5061, Transport: service.TLS, ClientCert: service.AskClientCert}},
		Handles: []string{"MESSAGE", "SUBSCRIBE presence"},
		Build:   func(service.Host) (service.Service, error) { return nil, nil },
	}
}

func TestCheckFindsWhatIsWrongWithADeclaration(t *testing.T) {
	good := sound()
	if err := good.Check(); err != nil {
		t.Fatal(err)
	}
	for want, spoil := range map[string]func(*service.Spec){
		"lower-case word":       func(s *service.Spec) { s.Name = "Two Words" },
		"no Build":              func(s *service.Spec) { s.Build = nil },
		"without NeedSIP":       func(s *service.Spec) { s.Needs = 0 },
		"no row":                func(s *service.Spec) { s.Ports[0].Row = "srv-fe-nothing-1" },
		"declared twice":        func(s *service.Spec) { s.Ports = append(s.Ports, s.Ports[0]) },
		"must be named ext-":    func(s *service.Spec) { s.Ports[0].Extension, s.Ports[0].Number = "why not", 5090 },
		"has no number":         func(s *service.Spec) { s.Ports[0].Row, s.Ports[0].Extension = "ext-x", "why not" },
		"certificate without":   func(s *service.Spec) { s.Ports[0].Transport = service.TCP },
		"want METHOD or METHOD": func(s *service.Spec) { s.Handles = []string{"subscribe presence"} },
	} {
		s := sound()
		spoil(&s)
		if err := s.Check(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want an error with %q, got %v", want, err)
		}
	}
}

func TestListenTakesDeclaredRowsOnly(t *testing.T) {
	spec := sound()
	opened := ""
	h := service.Host{Spec: &spec, Open: func(_ context.Context, p service.Port) (netip.AddrPort, error) {
		opened = p.Row
		return netip.MustParseAddrPort("127.0.0.1:5061"), nil
	}}
	if _, err := h.Listen(t.Context(), porttable.SrvFeFrontend5060); err == nil || opened != "" {
		t.Errorf("a row that is not declared: %v, opened %q", err, opened)
	}
	if addr, err := h.Listen(t.Context(), porttable.SrvFeFrontend5061); err != nil || addr.Port() != 5061 {
		t.Errorf("a declared row: %v %v", addr, err)
	}
}

func TestHostedBy(t *testing.T) {
	s := sound()
	for _, c := range []struct {
		roles []topology.Role
		want  bool
	}{{[]topology.Role{topology.RoleMediation, topology.RoleFrontEnd}, true}, {[]topology.Role{topology.RoleEdge}, false}, {nil, false}} {
		if got := s.HostedBy(c.roles); got != c.want {
			t.Errorf("hosted by %v: %v", c.roles, got)
		}
	}
	s.Roles = nil
	if !s.HostedBy([]topology.Role{topology.RoleEdge}) {
		t.Error("a service without roles is hosted everywhere")
	}
}
