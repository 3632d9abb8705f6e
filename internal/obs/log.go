package obs

import (
	"fmt"
	"io"
	"log/slog"
	"strings"
)

// The attribute keys of log records. The message of a record is a constant
// phrase; what varies is one of these.
const (
	KeyCall = "call" // Call-ID
	KeyTxn  = "txn"  // branch of a transaction
	KeyFlow = "flow" // number of a flow
	KeyPeer = "peer" // remote address or server name
	KeyUser = "user" // address of record
	KeyConf = "conf" // conference
	KeySvc  = "svc"  // service name
	KeyNode = "node" // node name
	KeyRow  = "row"  // id of a port table row
	KeyAddr = "addr" // local address
	KeyErr  = "err"  // error
	KeyDur  = "dur"  // duration
)

// Err is the attribute of an error.
func Err(err error) slog.Attr { return slog.Any(KeyErr, err) }

// NewLogger makes a logger that writes format "text" or "json" to w. The level
// may change while it runs when level is a *slog.LevelVar.
func NewLogger(w io.Writer, format string, level slog.Leveler) (*slog.Logger, error) {
	opt := &slog.HandlerOptions{Level: level}
	switch format {
	case "", "text":
		return slog.New(slog.NewTextHandler(w, opt)), nil
	case "json":
		return slog.New(slog.NewJSONHandler(w, opt)), nil
	}
	return nil, fmt.Errorf("log format %q: want text or json", format)
}

// ParseLevel reads "debug", "info", "warn" or "error"; empty is info.
func ParseLevel(s string) (slog.Level, error) {
	switch strings.ToLower(s) {
	case "debug":
		return slog.LevelDebug, nil
	case "", "info":
		return slog.LevelInfo, nil
	case "warn":
		return slog.LevelWarn, nil
	case "error":
		return slog.LevelError, nil
	}
	return 0, fmt.Errorf("log level %q: want debug, info, warn or error", s)
}
