// Package csv prints a document for spreadsheets (RFC 4180): one header line, then one line for each row.
// Notes and warnings are left out.
package csv

import (
	"encoding/csv"
	"io"

	"parley/internal/plan"
)

// Render writes d.
func Render(w io.Writer, d *plan.Document) error {
	cw := csv.NewWriter(w)
	head := make([]string, len(d.Columns))
	for i, c := range d.Columns {
		head[i] = c.Key
	}
	if err := cw.Write(head); err != nil {
		return err
	}
	for _, row := range d.Rows {
		cells := make([]string, len(row))
		for i, c := range row {
			cells[i] = inert(c)
		}
		if err := cw.Write(cells); err != nil {
			return err
		}
	}
	cw.Flush()
	return cw.Error()
}

// inert keeps spreadsheets from taking a text for a formula: names and notes come from whoever wrote the
// topology.
func inert(cell string) string {
	if cell != "" && (cell[0] == '=' || cell[0] == '+' || cell[0] == '-' || cell[0] == '@' || cell[0] == '\t' || cell[0] == '\r') {
		return "'" + cell
	}
	return cell
}
