package adminapi

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"path/filepath"
	"syscall"
	"time"
)

// SocketName is the name of the unix socket in the data directory.
const SocketName = "admin.sock"

// ErrNotRunning says that nobody serves the socket of a data directory.
var ErrNotRunning = errors.New("no server is running")

// Client calls the API of one node.
type Client struct {
	dir  string
	http *http.Client
}

// NewClient makes a client for the node whose data directory is dir. It
// connects when it is used.
func NewClient(dir string) *Client {
	tr := &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return dialSocket(ctx, dir)
		},
		IdleConnTimeout: 10 * time.Second,
	}
	return &Client{dir, &http.Client{Transport: tr}}
}

// NewLocalClient makes a client that calls h directly, for working on a data
// directory whose server is stopped.
func NewLocalClient(dir string, h http.Handler) *Client {
	return &Client{dir, &http.Client{Transport: localTransport{h}}}
}

// Close lets go of idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Get reads a resource into out.
func (c *Client) Get(ctx context.Context, path string, out any) error {
	_, err := c.Do(ctx, http.MethodGet, path, "", nil, out)
	return err
}

// Do sends in (nil for none) as JSON and decodes the answer into out (nil to
// ignore it). etag, if not empty, becomes If-Match; "*" with PUT becomes
// If-None-Match, for what must not be there yet. It returns the ETag of the answer. Refusals are a *Problem; a server
// that is not there matches ErrNotRunning.
func (c *Client) Do(ctx context.Context, method, path, etag string, in, out any) (string, error) {
	resp, err := c.send(ctx, method, path, etag, in)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	if out == nil {
		_, err = io.Copy(io.Discard, resp.Body)
		return resp.Header.Get("ETag"), err
	}
	if err := json.NewDecoder(resp.Body).Decode(out); err != nil {
		return "", fmt.Errorf("%s %s: unreadable answer: %w", method, path, err)
	}
	return resp.Header.Get("ETag"), nil
}

// Stream reads an answer of one JSON object per line until it ends, ctx ends
// or f fails.
func (c *Client) Stream(ctx context.Context, path string, f func(json.RawMessage) error) error {
	resp, err := c.send(ctx, http.MethodGet, path, "", nil)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	dec := json.NewDecoder(resp.Body)
	for {
		var line json.RawMessage
		switch err := dec.Decode(&line); {
		case err == io.EOF:
			return nil
		case err != nil:
			return err
		}
		if err := f(line); err != nil {
			return err
		}
	}
}

func (c *Client) send(ctx context.Context, method, path, etag string, in any) (*http.Response, error) {
	var body io.Reader
	if in != nil {
		b, err := json.Marshal(in)
		if err != nil {
			return nil, err
		}
		body = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://parley/api/v1"+path, body)
	if err != nil {
		return nil, err
	}
	if in != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	switch {
	case etag == "":
	case etag == "*" && method == http.MethodPut:
		req.Header.Set("If-None-Match", "*")
	default:
		req.Header.Set("If-Match", etag)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ECONNREFUSED) {
			return nil, fmt.Errorf("%w for %s; start it with: parley serve --data %s", ErrNotRunning, c.dir, c.dir)
		}
		if errors.Is(err, fs.ErrPermission) {
			return nil, fmt.Errorf("no permission to administer the server of %s: use the account it runs under, or root", c.dir)
		}
		return nil, err
	}
	if resp.StatusCode >= 400 {
		defer resp.Body.Close()
		p := &Problem{Status: resp.StatusCode}
		if err := json.NewDecoder(io.LimitReader(resp.Body, 1<<20)).Decode(p); err != nil || p.Message == "" {
			p.Message = fmt.Sprintf("%s %s: %s", method, path, resp.Status)
		}
		return nil, p
	}
	return resp, nil
}

// dialSocket connects to the socket of a data directory. A path too long for
// the address of a unix socket (108 bytes) is reached through its directory's
// descriptor where the system has one.
func dialSocket(ctx context.Context, dir string) (net.Conn, error) {
	path, done, err := socketPath(filepath.Join(dir, SocketName))
	if err != nil {
		return nil, err
	}
	defer done()
	var d net.Dialer
	return d.DialContext(ctx, "unix", path)
}

// localTransport answers requests by calling a handler.
type localTransport struct{ h http.Handler }

func (t localTransport) RoundTrip(req *http.Request) (*http.Response, error) {
	w := &localWriter{header: http.Header{}}
	if req.Body == nil {
		req.Body = http.NoBody
	}
	t.h.ServeHTTP(w, req)
	if w.code == 0 {
		w.code = http.StatusOK
	}
	return &http.Response{StatusCode: w.code, Status: fmt.Sprintf("%d %s", w.code, http.StatusText(w.code)),
		Header: w.header, Body: io.NopCloser(&w.body), Request: req, ProtoMajor: 1, ProtoMinor: 1}, nil
}

type localWriter struct {
	header http.Header
	code   int
	body   bytes.Buffer
}

func (w *localWriter) Header() http.Header { return w.header }
func (w *localWriter) WriteHeader(code int) {
	if w.code == 0 {
		w.code = code
	}
}
func (w *localWriter) Write(b []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	return w.body.Write(b)
}
