package related

import (
	"io"
	"mime"
	"mime/multipart"
	"strings"
	"testing"
)

// The reader that sets the rule takes the text between a part's empty line and
// the next boundary and cuts four bytes.
func TestEmptyLineBeforeBoundary(t *testing.T) {
	w := Writer{Boundary: "bnd1"}
	w.Part("x", "application/rlmi+xml", []byte("<list/>"))
	w.Part("bob@example.test", "text/xml", []byte("<a/>"))
	ctype, body := w.End()
	_, params, err := mime.ParseMediaType(ctype)
	if err != nil || params["start"] != "<x>" || params["type"] != "application/rlmi+xml" {
		t.Fatalf("%q: %v", ctype, err)
	}
	parts := strings.Split(string(body), "--bnd1")
	for i, want := range []string{"<list/>", "<a/>"} {
		_, text, _ := strings.Cut(parts[i+1], "\r\n\r\n")
		if got := text[:len(text)-4]; got != want {
			t.Errorf("part %d cut short: %q, want %q", i, got, want)
		}
	}
	r := multipart.NewReader(strings.NewReader(string(body)), params["boundary"])
	for _, want := range []string{"<list/>", "<a/>"} {
		p, err := r.NextRawPart()
		if err != nil {
			t.Fatal(err)
		}
		got, _ := io.ReadAll(p)
		if strings.TrimSpace(string(got)) != want {
			t.Errorf("strict reader: %q, want %q", got, want)
		}
	}
}
