package porttable

import (
	"embed"
	"encoding/csv"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strconv"
	"strings"
	"sync"
)

//go:embed data/*.csv
var data embed.FS

// files lists the tables in the order of the port document, which is the order of All.
var files = []string{"server-ports.csv", "lb-ports.csv", "client-ports.csv", "ipsec-exceptions.csv"}

type table struct {
	rows []Row
	byID map[string]int
}

// load panics on a bad row: the data is part of the program, and the tests read every row of it.
var load = sync.OnceValue(func() table {
	t := table{byID: map[string]int{}}
	for _, name := range files {
		f, err := data.Open("data/" + name)
		if err != nil {
			panic(err)
		}
		rows, err := read(f)
		if err != nil {
			panic(fmt.Sprintf("porttable: %s: %v", name, err))
		}
		for _, r := range rows {
			if _, twice := t.byID[r.ID]; twice {
				panic("porttable: row " + r.ID + " appears twice")
			}
			t.byID[r.ID] = len(t.rows)
			t.rows = append(t.rows, r)
		}
	}
	return t
})

// All returns every row, in the order of the port document: servers, load balancers, clients, IPsec.
func All() []Row { return slices.Clone(load().rows) }

// ByID returns the row with that id.
func ByID(id string) (Row, bool) {
	t := load()
	i, ok := t.byID[id]
	if !ok {
		return Row{}, false
	}
	return t.rows[i], true
}

// MustByID returns the row with that id and panics when there is none: for ids written in code.
func MustByID(id string) Row {
	r, ok := ByID(id)
	if !ok {
		panic("porttable: no row " + id)
	}
	return r
}

// ForRole returns the rows of one role, in table order.
func ForRole(role RoleID) []Row {
	return Select(func(r Row) bool { return r.Role == role })
}

// InTable returns the rows of one table, in its order.
func InTable(t Table) []Row {
	return Select(func(r Row) bool { return r.Table == t })
}

// Select returns the rows that keep accepts, in table order.
func Select(keep func(Row) bool) []Row {
	var out []Row
	for _, r := range load().rows {
		if keep(r) {
			out = append(out, r)
		}
	}
	return out
}

// read parses one CSV file whose first line names the columns.
func read(f fs.File) ([]Row, error) {
	defer f.Close()
	cr := csv.NewReader(f)
	head, err := cr.Read()
	if err != nil {
		return nil, err
	}
	var rows []Row
	for {
		rec, err := cr.Read()
		if err == io.EOF {
			return rows, nil
		}
		if err != nil {
			return nil, err
		}
		cell := func(name string) string {
			if i := slices.Index(head, name); i >= 0 {
				return rec[i]
			}
			return ""
		}
		r, err := row(cell)
		if err != nil {
			line, _ := cr.FieldPos(0)
			return nil, fmt.Errorf("line %d: %w", line, err)
		}
		rows = append(rows, r)
	}
}

// row builds a Row from named cells. The column "remark" is about the text of the source and stays behind.
func row(cell func(string) string) (Row, error) {
	r := Row{
		ID:          cell("id"),
		Table:       Table(cell("table")),
		RoleText:    cell("role"),
		ServiceText: cell("service"),
		Ports:       cell("port"),
		Protocol:    cell("protocol"),
		Peer:        cell("peer"),
		Purpose:     cell("purpose"),
		Note:        strings.Trim(cell("source_note"), "()"),
		DuplicateOf: cell("duplicate_of"),
	}
	if r.Note == "empty" {
		r.Note = ""
	}
	var err error
	if r.SourceRow, err = strconv.Atoi(cell("source_row")); err != nil {
		return r, fmt.Errorf("source_row: %w", err)
	}
	set, err := bits(cell("transport"), "tcp", "udp")
	if err != nil {
		return r, fmt.Errorf("transport: %w", err)
	}
	r.Transports = Transports(set)
	if set, err = bits(cell("direction"), "inbound", "outbound"); err != nil {
		return r, fmt.Errorf("direction: %w", err)
	}
	r.Direction = Directions(set)
	if r.Table == IPsec {
		return exception(r, cell)
	}
	if set, err = bits(cell("tls"), "none", "tls", "mtls"); err != nil {
		return r, fmt.Errorf("tls: %w", err)
	}
	r.TLS = TLSModes(set)
	if r.PortFirst, err = port(cell("port_first")); err != nil {
		return r, err
	}
	if r.PortLast, err = port(cell("port_last")); err != nil {
		return r, err
	}
	if r.PortLast < r.PortFirst {
		return r, fmt.Errorf("ports %d to %d run backwards", r.PortFirst, r.PortLast)
	}
	var ok bool
	if r.Role, ok = roleIDs[r.RoleText]; !ok {
		return r, fmt.Errorf("role %q has no id", r.RoleText)
	}
	if r.Service, ok = serviceIDs[r.ServiceText]; !ok {
		return r, fmt.Errorf("service %q has no id", r.ServiceText)
	}
	return r, nil
}

// exception completes a row of the IPsec table, which has a rule and two ends in place of role, service and port.
func exception(r Row, cell func(string) string) (Row, error) {
	r.ServiceText, r.Service = cell("rule"), "ipsec"
	r.Exception = &Exception{
		Source:         cell("source_ip"),
		Destination:    cell("destination_ip"),
		SourcePort:     cell("source_port"),
		Authentication: cell("authentication"),
	}
	var ok bool
	if r.Role, ok = exceptionRoles[r.ServiceText]; !ok {
		return r, fmt.Errorf("rule %q has no role", r.ServiceText)
	}
	r.RoleText = r.ServiceText
	r.TLS = PlainText
	r.Ports = cell("destination_port")
	r.Peer = r.Exception.Source
	if r.Direction == Outbound {
		r.Peer = r.Exception.Destination
	}
	return r, nil
}

func port(text string) (uint16, error) {
	n, err := strconv.ParseUint(text, 10, 16)
	if err != nil || n == 0 {
		return 0, fmt.Errorf("port %q is not a number from 1 to 65535", text)
	}
	return uint16(n), nil
}
