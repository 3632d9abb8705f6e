package plan

import "strings"

// Diff lists what the network team must change to get from one plan to another: rows that go and rows that
// come, of every document that describes the network. Capacity is not part of it.
func Diff(before, after *Plan) (*Document, error) {
	d := &Document{Kind: "diff", Title: "Changes", Columns: columns("plan", "change", "row", "what")}
	for _, kind := range Kinds() {
		if kind == "capacity" || kind == "ports" { // ports repeats the firewall report by machine
			continue
		}
		a, err := before.Document(kind)
		if err != nil {
			return nil, err
		}
		b, err := after.Document(kind)
		if err != nil {
			return nil, err
		}
		for _, row := range missing(a, b) {
			d.add(kind, "remove", rowID(a, row), describe(a, row))
		}
		for _, row := range missing(b, a) {
			d.add(kind, "add", rowID(b, row), describe(b, row))
		}
	}
	return d, nil
}

// missing lists the rows of a that b does not have.
func missing(a, b *Document) [][]string {
	have := map[string]bool{}
	for _, row := range b.Rows {
		have[identity(b, row)] = true
	}
	var out [][]string
	for _, row := range a.Rows {
		if !have[identity(a, row)] {
			out = append(out, row)
		}
	}
	return out
}

// identity is what makes two rows the same: everything but the remarks.
func identity(d *Document, row []string) string {
	var parts []string
	for i, c := range d.Columns {
		if c.Key != "notes" {
			parts = append(parts, row[i])
		}
	}
	return strings.Join(parts, "\x00")
}

func rowID(d *Document, row []string) string {
	for i, c := range d.Columns {
		if c.Key == "row" {
			return row[i]
		}
	}
	return ""
}

// describe prints a row in one line: the values that are set, with the names of their columns.
func describe(d *Document, row []string) string {
	var parts []string
	for i, c := range d.Columns {
		if row[i] != "" && c.Key != "notes" && c.Key != "row" {
			parts = append(parts, strings.ReplaceAll(c.Key, "_", " ")+" "+row[i])
		}
	}
	return strings.Join(parts, "; ")
}
