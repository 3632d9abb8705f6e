package config

import (
	"errors"
	"fmt"

	"parley/internal/porttable"
	"parley/internal/tomlfile"
)

// validate checks what a single value cannot show.
func (f *File) validate(doc *tomlfile.Document) tomlfile.Errors {
	var errs tomlfile.Errors
	bad := func(path, fix, format string, args ...any) {
		errs = append(errs, &tomlfile.Error{Place: doc.Place(path), Text: fmt.Sprintf(format, args...), Fix: fix})
	}
	c := &f.Config
	if c.Node.FQDN == "" {
		bad("node.fqdn", `for example fqdn = "server.example.test"`, "the node has no name")
	}
	for i, a := range c.Listen.Addresses {
		if a.Zone() != "" || a.IsMulticast() {
			bad(tomlfile.At("listen.addresses", i), "", "%s is not an address to listen on", a)
		}
	}
	if o := c.Listen.Offset; o != 0 && (o < 1024 || o > 60000) {
		bad("listen.offset", "0, or 1024 to 60000", "offset %d would leave ports below 1024 or put them out of range", o)
	}
	for i, row := range c.Listen.Enable {
		if _, ok := porttable.ByID(row); !ok && len(row) < 5 || !ok && row[:4] != "ext-" {
			fix := "parley ports lists them"
			if near := tomlfile.Nearest(row, rowIDs()); near != "" {
				fix = fmt.Sprintf("did you mean %q?", near)
			}
			bad(tomlfile.At("listen.enable", i), fix, "the port plan has no row %q", row)
		}
	}
	switch c.Bus.Mode {
	case BusMember:
		if !c.Bus.Listen.IsValid() {
			bad("bus.listen", `for example listen = "10.0.0.11:6222"`, "a member of the bus needs an address to listen on")
		}
	case BusExternal:
		if c.Bus.URL.Reveal() == "" {
			bad("bus.url", `for example url = "nats://bus.example.test:4222"`, "the external bus has no address")
		}
	}
	if a := c.Admin.Listen; a.IsValid() && !a.Addr().IsLoopback() {
		bad("admin.listen", `for example "127.0.0.1:9480", or "off"`, "%s is not a loopback address, and nothing there is authenticated", a)
	}
	between := func(path string, v, low, high int64, show func(int64) string) {
		if v < low || v > high {
			bad(path, fmt.Sprintf("from %s to %s", show(low), show(high)), "%s is out of range", show(v))
		}
	}
	size := func(n int64) string { return ByteSize(n).String() }
	number := func(n int64) string { return fmt.Sprint(n) }
	span := func(n int64) string { return Duration(n).String() }
	l := c.Limits
	between("limits.client-message", int64(l.ClientMessage), 64<<10, 256<<10, size)
	between("limits.server-message", int64(l.ServerMessage), 1000<<10, 20000<<10, size)
	between("limits.connections", int64(l.Connections), 1, 10_000_000, number)
	between("limits.per-address", int64(l.PerAddress), 1, 10_000_000, number)
	between("limits.endpoints", int64(l.Endpoints), 1, 64, number)
	between("limits.expires-min", int64(l.ExpiresMin), 1e9, 86400e9, span)
	between("limits.expires-max", int64(l.ExpiresMax), int64(l.ExpiresMin), 86400e9, span)
	between("limits.expires-default", int64(l.ExpiresDefault), int64(l.ExpiresMin), int64(l.ExpiresMax), span)
	between("drain.deadline", int64(c.Drain.Deadline), 0, 86400e9, span)

	for _, s := range f.order {
		v, ok := f.sections[s.Name].(Validator)
		if !ok {
			continue
		}
		err := v.Validate()
		var fe *FieldError
		switch {
		case errors.As(err, &fe):
			bad(tomlfile.Join(s.Name, fe.Key), fe.Fix, "%s", fe.Text)
		case err != nil:
			bad(s.Name, "", "%v", err)
		}
	}
	return errs
}

func rowIDs() []string {
	var ids []string
	for _, r := range porttable.All() {
		ids = append(ids, r.ID)
	}
	return ids
}
