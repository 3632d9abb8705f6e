// Package website serves the pages that are embedded in the program: files with entity tags made of their contents,
// compressed once, under a policy that lets pages run what is served beside them and nothing else. It also holds the
// scripts that all pages share.
package website

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"io/fs"
	"net/http"
	"path"
	"slices"
	"strconv"
	"strings"
)

//go:embed shared
var shared embed.FS

// Site is a set of files. It is immutable.
type Site struct{ files map[string]*file }

// file is one file, ready to be sent.
type file struct {
	body, zipped []byte
	kind, tag    string
}

// kinds are the media types of the files there are. The system's table differs from machine to machine.
var kinds = map[string]string{
	".css": "text/css; charset=utf-8", ".html": "text/html; charset=utf-8", ".js": "text/javascript; charset=utf-8",
	".json": "application/json", ".png": "image/png", ".svg": "image/svg+xml", ".txt": "text/plain; charset=utf-8",
	".webmanifest": "application/manifest+json",
}

// Load reads and compresses the files below a folder, whose names are in lower case, and adds the shared scripts
// js/dom.js and js/i18n.js.
func Load(files fs.FS, folder string) (*Site, error) {
	s := &Site{files: map[string]*file{}}
	for _, from := range []struct {
		fs     fs.FS
		folder string
	}{{shared, "shared"}, {files, folder}} {
		err := fs.WalkDir(from.fs, from.folder, func(name string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			b, err := fs.ReadFile(from.fs, name)
			if err != nil {
				return err
			}
			s.files[strings.TrimPrefix(name, from.folder+"/")], err = newFile(name, b)
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	return s, nil
}

func newFile(name string, b []byte) (*file, error) {
	sum := sha256.Sum256(b)
	f := &file{body: b, kind: kinds[path.Ext(name)], tag: `"` + hex.EncodeToString(sum[:12]) + `"`}
	if f.kind == "" {
		return nil, fmt.Errorf("%s: files of this kind have no media type yet", name)
	}
	var z bytes.Buffer
	zw, err := gzip.NewWriterLevel(&z, gzip.BestCompression)
	if err != nil {
		return nil, err
	}
	if _, err := zw.Write(b); err != nil {
		return nil, err
	}
	if err := zw.Close(); err != nil {
		return nil, err
	}
	if z.Len() < len(b) {
		f.zipped = z.Bytes()
	}
	return f, nil
}

// Names lists the files, sorted.
func (s *Site) Names() []string {
	var out []string
	for name := range s.files {
		out = append(out, name)
	}
	slices.Sort(out)
	return out
}

// Serve sends a file, or 304 to who has it, or 404. Browsers ask each time: an upgrade of the server is one of its
// pages. Methods other than GET and HEAD are refused.
func (s *Site) Serve(w http.ResponseWriter, r *http.Request, name string) {
	h := w.Header()
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		h.Set("Allow", "GET, HEAD")
		w.WriteHeader(http.StatusMethodNotAllowed)
		return
	}
	f, ok := s.files[name]
	if !ok {
		http.NotFound(w, r)
		return
	}
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

// Harden sets the headers that keep pages apart from all others, with a policy for their contents
// (Content-Security-Policy) and for the devices they may use (Permissions-Policy).
func Harden(h http.Header, contents, permissions string) {
	h.Set("Content-Security-Policy", contents)
	h.Set("Permissions-Policy", permissions)
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY") // for browsers without frame-ancestors
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
