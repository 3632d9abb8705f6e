// Package json prints a document for programs: one object for each row, keyed by column.
package json

import (
	"bytes"
	"encoding/json"
	"io"

	"parley/internal/plan"
	"parley/internal/topology"
)

// Render writes d.
func Render(w io.Writer, d *plan.Document) error {
	rows := make([]json.RawMessage, len(d.Rows))
	for i, row := range d.Rows {
		object, err := ordered(d.Columns, row)
		if err != nil {
			return err
		}
		rows[i] = object
	}
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(struct {
		Kind     string             `json:"kind"`
		Title    string             `json:"title"`
		Rows     []json.RawMessage  `json:"rows"`
		Notes    []string           `json:"notes,omitempty"`
		Warnings []topology.Problem `json:"warnings,omitempty"`
	}{d.Kind, d.Title, rows, d.Notes, d.Problems})
}

// ordered is an object whose keys are in the order of the columns, as a map's would not be.
func ordered(columns []plan.Column, row []string) (json.RawMessage, error) {
	var b bytes.Buffer
	b.WriteByte('{')
	for i, c := range columns {
		if i > 0 {
			b.WriteByte(',')
		}
		for j, text := range []string{c.Key, row[i]} {
			v, err := json.Marshal(text)
			if err != nil {
				return nil, err
			}
			if j > 0 {
				b.WriteByte(':')
			}
			b.Write(v)
		}
	}
	b.WriteByte('}')
	return b.Bytes(), nil
}
