// Package related writes multipart/related bodies (RFC 2387) of XML parts for
// readers that are exact about little else than where a part ends.
//
// The MIME reader of libpurple cuts the last four bytes of each part, so every
// part here ends with an empty line before the boundary. XML does not mind the
// two more bytes.
package related

// Writer writes one body. Boundary must not occur in the parts; the caller makes
// it of random letters.
type Writer struct {
	Boundary string

	root, rootType string
	buf            []byte
}

// Part adds a part. The first is the root. cid is its Content-ID without brackets.
func (w *Writer) Part(cid, ctype string, body []byte) {
	if w.root == "" {
		w.root, w.rootType = cid, ctype
	}
	b := append(append(w.buf, "--"...), w.Boundary...)
	b = append(append(b, "\r\nContent-Transfer-Encoding: binary\r\nContent-ID: <"...), cid...)
	b = append(append(append(b, ">\r\nContent-Type: "...), ctype...), "\r\n\r\n"...)
	w.buf = append(append(b, body...), "\r\n\r\n"...)
}

// End returns the media type with its parameters, and the body.
func (w *Writer) End() (ctype string, body []byte) {
	w.buf = append(append(append(w.buf, "--"...), w.Boundary...), "--\r\n"...)
	return `multipart/related;type="` + w.rootType + `";start="<` + w.root + `>";boundary="` + w.Boundary + `"`, w.buf
}
