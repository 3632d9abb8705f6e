package website

import (
	"compress/gzip"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"
	"testing/fstest"
)

func ask(s *Site, method, name string, header ...string) *http.Response {
	r := httptest.NewRequest(method, "/"+name, nil)
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	s.Serve(w, r, name)
	return w.Result()
}

func TestFilesHaveTagsOfTheirContents(t *testing.T) {
	long := make([]byte, 4096)
	s, err := Load(fstest.MapFS{"pages/index.html": {Data: long}, "pages/js/own.js": {Data: []byte("1")}}, "pages")
	if err != nil {
		t.Fatal(err)
	}
	if got := s.Names(); !slices.Equal(got, []string{"index.html", "js/dom.js", "js/i18n.js", "js/own.js"}) {
		t.Error(got)
	}
	plain := ask(s, "GET", "index.html")
	zipped := ask(s, "GET", "index.html", "Accept-Encoding", "br, gzip;q=0.5")
	if zipped.Header.Get("Content-Encoding") != "gzip" || zipped.Header.Get("ETag") == plain.Header.Get("ETag") {
		t.Errorf("%v %v", plain.Header, zipped.Header)
	}
	z, err := gzip.NewReader(zipped.Body)
	if err != nil {
		t.Fatal(err)
	}
	if b, err := io.ReadAll(z); err != nil || !slices.Equal(b, long) {
		t.Error(err)
	}
	for _, x := range []struct {
		method, name string
		header       []string
		status       int
	}{
		{"GET", "index.html", []string{"If-None-Match", `"other", W/` + plain.Header.Get("ETag")}, 304},
		{"GET", "index.html", []string{"If-None-Match", plain.Header.Get("ETag"), "Accept-Encoding", "gzip"}, 200},
		{"HEAD", "index.html", nil, 200},
		{"POST", "index.html", nil, 405},
		{"GET", "nothing.html", nil, 404},
		{"GET", "js/", nil, 404},
	} {
		if got := ask(s, x.method, x.name, x.header...); got.StatusCode != x.status {
			t.Errorf("%s %s %v: %s", x.method, x.name, x.header, got.Status)
		}
	}
	if _, err := Load(fstest.MapFS{"pages/a.exe": {}}, "pages"); err == nil {
		t.Error("a file without a media type is taken")
	}
}
