package addressbook

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"parley/internal/store"
	"parley/internal/uc"
)

// file serves photos, by the name that User.PhotoName gives to whomever shows a person to others: who knows it needs
// no credentials. The files of the address book are not made: see the package.
func (s *Service) file(w http.ResponseWriter, r *http.Request) {
	name := strings.Trim(r.URL.Path[min(len(FilesPath), len(r.URL.Path)):], "/")
	id, hash, _ := strings.Cut(name, ".")
	u, known := s.host.Directory.ByID(strings.ToUpper(id))
	if !known || u.PhotoHash == "" || !strings.EqualFold(hash, u.PhotoHash) {
		if _, ok := s.user(w, r); !ok {
			return
		}
		if !known || u.PhotoHash == "" {
			http.Error(w, "there is no such file: use the address book web query", http.StatusNotFound)
			return
		}
		// Who is known gets the current photo by the name of an old one.
	}
	p, err := s.host.Directory.Photo(r.Context(), u.ID)
	switch {
	case errors.Is(err, store.ErrNotFound):
		http.NotFound(w, r)
		return
	case err != nil:
		if r.Context().Err() == nil {
			s.host.Log.Error("photo not read", "user", u.AOR, "err", err)
			w.Header().Set("Retry-After", "30")
			w.WriteHeader(http.StatusServiceUnavailable)
		}
		return
	}
	h := w.Header()
	h.Set("Content-Type", p.Type)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", "private, max-age=86400")
	h.Set("ETag", `"`+u.PhotoHash+`"`)
	if r.Header.Get("If-None-Match") == `"`+u.PhotoHash+`"` {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	h.Set("Content-Length", strconv.Itoa(len(p.Image))) // some clients need it
	if r.Method != http.MethodHead {
		_, _ = w.Write(p.Image) // the client may have gone
	}
}

// Members is the answer to a request for the members of a group.
type Members struct {
	Group string   `json:"group"` // address
	Name  string   `json:"name,omitempty"`
	Users []Member `json:"users"`
	More  bool     `json:"more"` // there are more than the server tells
}

// Member is a person in a group or in the groups in it.
type Member struct {
	URI  string `json:"uri"`
	Name string `json:"name"`
	Mail string `json:"mail"`
}

// members tells who is in a group, in JSON of our own.
func (s *Service) members(w http.ResponseWriter, r *http.Request) {
	if _, ok := s.user(w, r); !ok {
		return
	}
	text := r.URL.Path[len(MembersPath):]
	address, err := uc.ParseAOR(text)
	if err != nil {
		http.Error(w, url.PathEscape(text)+" is no address", http.StatusBadRequest)
		return
	}
	g, ok := s.host.Directory.LookupGroup(address)
	if !ok {
		http.Error(w, "there is no such group", http.StatusNotFound)
		return
	}
	users, more := s.host.Directory.Expand(g, s.settings.Load().MaxMembers)
	out := Members{Group: string(g.Address), Name: g.Name, Users: []Member{}, More: more}
	for _, u := range users {
		out.Users = append(out.Users, Member{URI: u.AOR.URI(), Name: u.DisplayName(), Mail: u.Mail()})
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	_ = json.NewEncoder(w).Encode(out) // the client may have gone
}
