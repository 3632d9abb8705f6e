package replicator

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"parley/internal/bus"
)

const (
	lookPatience = 10 * time.Second
	runPatience  = 10 * time.Minute // for a round that was asked for
)

// Ask implements service.Asked: GET tells of the last round, POST does one at once, with allow-removals=1 without the
// limit on users who vanish. Any member may be asked. The answer is a Report.
func (s *Service) Ask(ctx context.Context, method string, query url.Values) (any, error) {
	if !s.settings.Load().on() {
		return nil, errors.New("no users come from another directory: the section [replicator] of parley.toml names no domain")
	}
	o, wait := order{}, lookPatience
	switch method {
	case http.MethodGet:
	case http.MethodPost:
		o, wait = order{Run: true, Allow: query.Get("allow-removals") == "1"}, runPatience
	default:
		return nil, fmt.Errorf("%s is not for the replicator", method)
	}
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	ask, err := json.Marshal(o)
	if err != nil {
		return nil, err
	}
	answer, err := s.host.Bus.Request(ctx, s.subject(), ask)
	if errors.Is(err, bus.ErrNoResponder) {
		return nil, errors.New("no member of the pool replicates yet; try again in a moment")
	}
	if err != nil {
		return nil, err
	}
	var r *Report
	if err := json.Unmarshal(answer, &r); err != nil {
		return nil, err
	}
	if r == nil {
		return nil, errors.New("the first round has not ended yet")
	}
	return r, nil
}
