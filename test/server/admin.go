package server

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"

	"parley/test/phone"
)

// Status is the part of `parley status --json` that tests read. It is spelled out here, and not taken from
// the product, because scripts do the same: a renamed field must break a test.
type Status struct {
	Ready     bool       `json:"ready"`
	PID       int        `json:"pid"`
	Offset    int        `json:"offset"`
	AdminHTTP string     `json:"admin_http"`
	Listeners []Listener `json:"listeners"`
	Counts    struct {
		Users         int `json:"users"`
		Registrations int `json:"registrations"`
		Calls         int `json:"calls"`
		Flows         int `json:"flows"`
	} `json:"counts"`
}

// Listener is one open port.
type Listener struct {
	Row       string `json:"row"` // of the port table
	Address   string `json:"address"`
	Transport string `json:"transport"`
	Service   string `json:"service"`
}

// Status is `parley status --json`.
func (s *Server) Status(ctx context.Context) (*Status, error) {
	out, err := s.CLI(ctx, "", "status", "--json")
	if err != nil {
		return nil, err
	}
	var st Status
	return &st, json.Unmarshal([]byte(out), &st)
}

// AddUsers adds accounts to the running server over its local socket, which is what `parley user add` does, and
// saves starting a process for each of ten thousand users.
func (s *Server) AddUsers(ctx context.Context, users []phone.Account) error {
	if len(users) == 0 {
		return nil
	}
	dir, err := os.Open(s.Dir)
	if err != nil {
		return err
	}
	defer dir.Close()
	// The path of a test's folder may be longer than a socket's name may be.
	socket := fmt.Sprintf("/proc/self/fd/%d/admin.sock", dir.Fd())
	var d net.Dialer
	client := http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return d.DialContext(ctx, "unix", socket) },
	}}
	defer client.CloseIdleConnections()
	for _, u := range users {
		body, err := json.Marshal(map[string]string{"password": u.Password})
		if err != nil {
			return err
		}
		req, err := http.NewRequestWithContext(ctx, "PUT", "http://parley/api/v1/users/"+url.PathEscape(u.AOR()), bytes.NewReader(body))
		if err != nil {
			return err
		}
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set("If-None-Match", "*")
		resp, err := client.Do(req)
		if err != nil {
			return err
		}
		answer, _ := io.ReadAll(io.LimitReader(resp.Body, 4096))
		resp.Body.Close()
		if resp.StatusCode/100 != 2 {
			return fmt.Errorf("add %s: %s: %s", u.AOR(), resp.Status, answer)
		}
	}
	return nil
}
