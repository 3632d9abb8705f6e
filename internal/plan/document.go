package plan

import (
	"fmt"
	"strings"

	"parley/internal/topology"
)

// Document is a view of the plan, ready to print: a table whose rows are grouped by their first column.
type Document struct {
	Kind     string // "firewall", "dns", ...
	Title    string
	Columns  []Column
	Rows     [][]string // one cell per column
	Notes    []string
	Problems []topology.Problem // what the checks found, warnings only
}

// Column is a column of a document.
type Column struct {
	Key   string // in JSON and CSV
	Title string // for people
}

// columns makes columns from keys; titles are the keys in words.
func columns(keys ...string) []Column {
	out := make([]Column, len(keys))
	for i, k := range keys {
		title := strings.ToUpper(k[:1]) + strings.ReplaceAll(k[1:], "_", " ")
		out[i] = Column{k, initialisms.Replace(title)}
	}
	return out
}

var initialisms = strings.NewReplacer("Fqdn", "FQDN", "Ip address", "IP address", "Dscp", "DSCP")

// add appends a row; values print as fmt.Sprint does.
func (d *Document) add(cells ...any) {
	row := make([]string, len(d.Columns))
	if len(cells) != len(row) {
		panic(fmt.Sprintf("plan: %d cells in a table of %d columns", len(cells), len(row)))
	}
	for i, c := range cells {
		row[i] = fmt.Sprint(c)
	}
	d.Rows = append(d.Rows, row)
}

// Group is a run of rows with the same first cell.
type Group struct {
	Name string
	Rows [][]string
}

// Groups splits the rows by their first cell, in the order in which the cells first appear.
func (d *Document) Groups() []Group {
	index := map[string]int{}
	var out []Group
	for _, row := range d.Rows {
		i, ok := index[row[0]]
		if !ok {
			i = len(out)
			index[row[0]] = i
			out = append(out, Group{Name: row[0]})
		}
		out[i].Rows = append(out[i].Rows, row)
	}
	return out
}

// Kinds lists the documents that there are, in the order of help.
func Kinds() []string {
	return []string{"ports", "firewall", "lb", "proxy", "ipsec", "dns", "certs", "qos", "capacity"}
}

// Document is the document of a kind, or an error that lists the kinds.
func (p *Plan) Document(kind string) (*Document, error) {
	var d *Document
	switch kind {
	case "ports":
		d = p.ports()
	case "firewall":
		d = p.firewall()
	case "lb":
		d = p.lb()
	case "proxy":
		d = p.proxy()
	case "ipsec":
		d = p.ipsec()
	case "dns":
		d = p.dns()
	case "certs":
		d = p.certs()
	case "qos":
		d = p.qos()
	case "capacity":
		d = p.capacity()
	default:
		return nil, fmt.Errorf("there is no plan %q; there are %s", kind, strings.Join(Kinds(), ", "))
	}
	d.Kind = kind
	for _, problem := range p.Topology.Validate() {
		if problem.Severity == topology.Warning {
			d.Problems = append(d.Problems, problem)
		}
	}
	return d, nil
}

// firewall lists every flow by the boundary that it crosses.
func (p *Plan) firewall() *Document {
	d := &Document{
		Title: "Firewall rules",
		Columns: columns("boundary", "row", "role", "source", "source_address", "source_port", "destination", "destination_address",
			"destination_port", "transport", "application_protocol", "direction", "notes"),
		Notes: []string{
			"Answers to an allowed conversation are allowed: the rules are for firewalls that keep state.",
			"Servers open the ports of their own host firewall when they start; the rules within a zone are for information.",
		},
	}
	for _, b := range Boundaries() {
		for _, f := range p.Flows {
			if f.Boundary() != b {
				continue
			}
			direction := "out"
			if f.Inward() {
				direction = "in"
			}
			d.add(b, f.Row, f.To.Role, f.From.Name, source(f), "any", f.To.Name, f.To.Addresses(), f.Ports, f.Transport, f.Protocol, direction, f.Note)
		}
	}
	return d
}

func source(f Flow) string {
	if f.Local {
		return "itself"
	}
	return f.From.Addresses()
}

// ports lists what each machine listens on, and for whom.
func (p *Plan) ports() *Document {
	d := &Document{
		Title:   "Listening ports",
		Columns: columns("server", "pool", "port", "transport", "application_protocol", "row", "from", "notes"),
	}
	for _, m := range p.Topology.Machines() {
		pool := ""
		if m.Pool != nil {
			pool = string(m.Pool.FQDN)
		}
		type key struct{ ports, transport, row string }
		index := map[key]int{}
		for _, f := range p.To(string(m.FQDN)) {
			k := key{f.Ports.String(), f.Transport, f.Row}
			if i, ok := index[k]; ok {
				if !strings.Contains(d.Rows[i][6], f.From.Name) {
					d.Rows[i][6] += ", " + f.From.Name
				}
				continue
			}
			index[k] = len(d.Rows)
			d.add(m.FQDN, pool, f.Ports, f.Transport, f.Protocol, f.Row, f.From.Name, f.Note)
		}
	}
	return d
}
