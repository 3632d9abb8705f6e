package adminapi

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
)

// Ask is how a service takes a request for it: it returns what becomes the JSON
// of the answer.
type Ask func(ctx context.Context, method string, query url.Values) (any, error)

// ofService leads GET and POST /api/v1/services/NAME to the service of that name.
func (s *Server) ofService(w http.ResponseWriter, r *http.Request) error {
	name := r.PathValue("name")
	ask, ok := s.cfg.Services(name)
	if !ok {
		return &Problem{http.StatusNotFound, "no-service", fmt.Sprintf("no service %s of this node can be asked", name)}
	}
	out, err := ask(r.Context(), r.Method, r.URL.Query())
	if err != nil {
		return refused("service-refused", err)
	}
	if r.Method != http.MethodGet {
		s.audit(r, "service."+name, "", r.URL.Query())
	}
	return reply(w, out)
}
