// Package table prints a document for a terminal: one table for each group of rows, columns aligned.
package table

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"parley/internal/plan"
)

// maxCell is the longest cell, in characters: a pool of twelve has longer address lists than a line can hold.
const maxCell = 60

// Render writes d.
func Render(w io.Writer, d *plan.Document) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n", d.Title)
	for _, g := range d.Groups() {
		fmt.Fprintf(&b, "\n%s: %s\n", d.Columns[0].Title, g.Name)
		tw := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
		head := make([]string, 0, len(d.Columns))
		for _, c := range d.Columns[1:] {
			head = append(head, strings.ToUpper(c.Title))
		}
		fmt.Fprintln(tw, strings.Join(head, "\t"))
		for _, row := range g.Rows {
			cells := make([]string, 0, len(row))
			for i, c := range row[1:] {
				// The last column may be as long as it likes: nothing stands to its right.
				c = strings.Join(strings.Fields(c), " ")
				if i < len(row)-2 {
					c = shorten(c)
				}
				if c == "" {
					c = "-"
				}
				cells = append(cells, c)
			}
			fmt.Fprintln(tw, strings.Join(cells, "\t"))
		}
		tw.Flush() // into memory
	}
	if len(d.Rows) == 0 {
		b.WriteString("\nNothing to show for this topology.\n")
	}
	if len(d.Notes) > 0 {
		b.WriteString("\n")
	}
	for _, n := range d.Notes {
		fmt.Fprintf(&b, "Note: %s\n", n)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func shorten(s string) string {
	r := []rune(s)
	if len(r) <= maxCell {
		return s
	}
	return string(r[:maxCell-3]) + "..."
}
