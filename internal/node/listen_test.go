package node

import (
	"io"
	"log/slog"
	"net/netip"
	"os"
	"testing"

	"parley/internal/config"
	"parley/internal/flow"
)

// An unprivileged process may not have the ports below 1024. Which ones the
// system lets a test have differs, so the refusal is played.
func TestPortsBelow1024AreShiftedWhenTheyAreRefused(t *testing.T) {
	n := New(Options{DataDir: t.TempDir(), Stderr: io.Discard})
	n.log = slog.New(slog.DiscardHandler)
	n.file.Store(&config.File{})
	var tried []string
	open := func(a netip.AddrPort) (*flow.Listener, error) {
		tried = append(tried, a.String())
		if a.Port() < 1024 {
			return nil, &os.SyscallError{Syscall: "bind", Err: os.ErrPermission}
		}
		return nil, nil
	}
	for _, addr := range []string{"127.0.0.1:5061", "127.0.0.1:443", "127.0.0.1:444"} {
		if _, err := bindShifted(n, netip.MustParseAddrPort(addr), open); err != nil {
			t.Errorf("%s: %v", addr, err)
		}
	}
	want := []string{"127.0.0.1:5061", "127.0.0.1:443", "127.0.0.1:10443", "127.0.0.1:10444"}
	if len(tried) != len(want) {
		t.Fatalf("tried %v, want %v", tried, want)
	}
	for i := range want {
		if tried[i] != want[i] {
			t.Fatalf("tried %v, want %v", tried, want)
		}
	}
	if n.offset() != defaultOffset {
		t.Errorf("status says offset %d", n.offset())
	}

	n = New(Options{DataDir: t.TempDir(), Stderr: io.Discard})
	n.file.Store(&config.File{Config: config.Config{Listen: config.Listen{Offset: 20000}}})
	tried = nil
	if _, err := bindShifted(n, netip.MustParseAddrPort("127.0.0.1:80"), open); err != nil || tried[0] != "127.0.0.1:20080" {
		t.Errorf("with an offset: %v %v", tried, err)
	}
}
