package config

import (
	"fmt"
	"math"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// Duration is a time span written as "30s", "5m" or "1h30m".
type Duration time.Duration

// UnmarshalText implements encoding.TextUnmarshaler.
func (d *Duration) UnmarshalText(b []byte) error {
	v, err := time.ParseDuration(string(b))
	if err != nil {
		return fmt.Errorf("%q is not a time span; examples are 30s, 5m, 1h30m", b)
	}
	if v < 0 {
		return fmt.Errorf("%q is negative", b)
	}
	*d = Duration(v)
	return nil
}

// MarshalText implements encoding.TextMarshaler.
func (d Duration) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// String leaves out zero parts: "5m", not "5m0s".
func (d Duration) String() string {
	s := time.Duration(d).String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// Std is the span as the standard library's type.
func (d Duration) Std() time.Duration { return time.Duration(d) }

// ByteSize is a number of bytes written as "128KiB", "5MB" or "4096".
type ByteSize int64

var units = []struct {
	name string
	size int64
}{
	{"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}, {"GB", 1e9}, {"MB", 1e6}, {"KB", 1e3}, {"kB", 1e3}, {"B", 1}, {"", 1},
}

// UnmarshalText implements encoding.TextUnmarshaler.
func (s *ByteSize) UnmarshalText(b []byte) error {
	text := strings.TrimSpace(string(b))
	for _, u := range units {
		number, ok := strings.CutSuffix(text, u.name)
		if !ok {
			continue
		}
		n, err := strconv.ParseInt(strings.TrimSpace(number), 10, 64)
		if err != nil || n < 0 {
			break
		}
		if n > math.MaxInt64/u.size {
			return fmt.Errorf("%q is too large", b)
		}
		*s = ByteSize(n * u.size)
		return nil
	}
	return fmt.Errorf("%q is not a size; examples are 4096, 128KiB, 5MB", b)
}

// MarshalText implements encoding.TextMarshaler.
func (s ByteSize) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// String uses the largest binary unit that keeps the number whole.
func (s ByteSize) String() string {
	for _, u := range units[:3] {
		if s >= ByteSize(u.size) && int64(s)%u.size == 0 {
			return fmt.Sprintf("%d%s", int64(s)/u.size, u.name)
		}
	}
	return strconv.FormatInt(int64(s), 10)
}

// AddrPort is an IP address and a port, written "127.0.0.1:9480" or "[::1]:9480". The zero value is "off".
type AddrPort struct{ netip.AddrPort }

// UnmarshalText implements encoding.TextUnmarshaler.
func (a *AddrPort) UnmarshalText(b []byte) error {
	if string(b) == "off" {
		*a = AddrPort{}
		return nil
	}
	v, err := netip.ParseAddrPort(string(b))
	if err != nil {
		return fmt.Errorf("%q is not an address and port; examples are 127.0.0.1:9480, [::1]:9480, off", b)
	}
	a.AddrPort = v
	return nil
}

// MarshalText implements encoding.TextMarshaler.
func (a AddrPort) MarshalText() ([]byte, error) { return []byte(a.String()), nil }

// String is "off" for the zero value.
func (a AddrPort) String() string {
	if !a.IsValid() {
		return "off"
	}
	return a.AddrPort.String()
}

// Secret is text that must not appear in logs, listings or error messages. It prints as [redacted].
type Secret struct{ text string }

// NewSecret makes a secret of text.
func NewSecret(text string) Secret { return Secret{text} }

// UnmarshalText implements encoding.TextUnmarshaler.
func (s *Secret) UnmarshalText(b []byte) error { s.text = string(b); return nil }

// Reveal is the text itself, for the one place that needs it.
func (s Secret) Reveal() string { return s.text }

// String is "[redacted]", or empty when there is no secret.
func (s Secret) String() string {
	if s.text == "" {
		return ""
	}
	return "[redacted]"
}

// GoString keeps %#v from showing the text.
func (s Secret) GoString() string { return strconv.Quote(s.String()) }

// Format keeps every verb of package fmt from showing the text.
func (s Secret) Format(f fmt.State, _ rune) { fmt.Fprint(f, s.String()) }

// MarshalText implements encoding.TextMarshaler; it writes what String prints.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// Level is the least severity that is logged.
type Level string

// UnmarshalText implements encoding.TextUnmarshaler.
func (l *Level) UnmarshalText(b []byte) error {
	switch string(b) {
	case "debug", "info", "warn", "error":
		*l = Level(b)
		return nil
	}
	return fmt.Errorf("%q is no log level; known are debug, info, warn, error", b)
}

// BusMode says how the node takes part in the bus.
type BusMode string

// The modes of the bus.
const (
	BusAlone    BusMode = "alone"    // embedded, no sockets
	BusMember   BusMode = "member"   // embedded, clustered with the other members of the pool
	BusExternal BusMode = "external" // somebody else's server
)

// UnmarshalText implements encoding.TextUnmarshaler.
func (m *BusMode) UnmarshalText(b []byte) error {
	switch BusMode(b) {
	case BusAlone, BusMember, BusExternal:
		*m = BusMode(b)
		return nil
	}
	return fmt.Errorf("%q is no mode of the bus; known are alone, member, external", b)
}
