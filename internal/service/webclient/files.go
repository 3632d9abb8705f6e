package webclient

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"io/fs"
	"net/http"
	"path"
	"strconv"
	"strings"
)

//go:embed site
var site embed.FS

// file is one file of the client, ready to be sent.
type file struct {
	body, zipped []byte
	kind, tag    string
}

// kinds are the media types of the files there are. The system's table differs from machine to machine.
var kinds = map[string]string{
	".css": "text/css; charset=utf-8", ".png": "image/png", ".html": "text/html; charset=utf-8", ".js": "text/javascript; charset=utf-8",
	".json": "application/json", ".svg": "image/svg+xml", ".txt": "text/plain; charset=utf-8", ".webmanifest": "application/manifest+json",
}

// load reads and compresses all files, by their names below the path of the client.
func load() (map[string]*file, error) {
	files := map[string]*file{}
	err := fs.WalkDir(site, "site", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := site.ReadFile(name)
		if err != nil {
			return err
		}
		sum := sha256.Sum256(b)
		f := &file{body: b, kind: kinds[path.Ext(name)], tag: `"` + hex.EncodeToString(sum[:12]) + `"`}
		var z bytes.Buffer
		zw, err := gzip.NewWriterLevel(&z, gzip.BestCompression)
		if err != nil {
			return err
		}
		if _, err := zw.Write(b); err != nil {
			return err
		}
		if err := zw.Close(); err != nil {
			return err
		}
		if z.Len() < len(b) {
			f.zipped = z.Bytes()
		}
		files[strings.TrimPrefix(name, "site/")] = f
		return nil
	})
	return files, err
}

// serve sends the file, or 304 to who has it. Browsers ask each time: an upgrade of the server is one of the client.
func (f *file) serve(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	body, tag := f.body, f.tag
	h.Set("Vary", "Accept-Encoding")
	if f.zipped != nil && acceptsGzip(r) {
		body, tag = f.zipped, f.tag[:len(f.tag)-1]+`-gz"`
		h.Set("Content-Encoding", "gzip")
	}
	h.Set("ETag", tag)
	h.Set("Cache-Control", "no-cache")
	if has(r.Header.Values("If-None-Match"), tag) {
		h.Del("Content-Encoding")
		w.WriteHeader(http.StatusNotModified)
		return
	}
	h.Set("Content-Type", f.kind)
	h.Set("Content-Length", strconv.Itoa(len(body)))
	if r.Method != http.MethodHead {
		_, _ = w.Write(body) // the browser may have gone
	}
}

// has reports whether an entity tag is in If-None-Match, which compares weakly (RFC 9110 section 13.1.2).
func has(values []string, tag string) bool {
	for _, v := range values {
		for t := range strings.SplitSeq(v, ",") {
			if t = strings.TrimSpace(t); t == "*" || strings.TrimPrefix(t, "W/") == tag {
				return true
			}
		}
	}
	return false
}

func acceptsGzip(r *http.Request) bool {
	for _, v := range r.Header.Values("Accept-Encoding") {
		for c := range strings.SplitSeq(v, ",") {
			name, param, _ := strings.Cut(strings.TrimSpace(c), ";")
			if strings.EqualFold(strings.TrimSpace(name), "gzip") {
				q, err := strconv.ParseFloat(strings.TrimPrefix(strings.TrimSpace(param), "q="), 64)
				return err != nil || q > 0
			}
		}
	}
	return false
}
