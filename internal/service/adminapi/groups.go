package adminapi

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"parley/internal/directory"
	"parley/internal/store"
	"parley/internal/uc"
)

// groups is the resource /api/v1/groups.
type groups struct {
	dir   *directory.Directory
	audit func(r *http.Request, action, object string, detail any)
}

func (g groups) list(w http.ResponseWriter, _ *http.Request) error {
	out := []Group{}
	for _, one := range g.dir.Groups() {
		out = append(out, g.shape(one))
	}
	return reply(w, out)
}

func (g groups) show(w http.ResponseWriter, r *http.Request) error {
	one, err := g.find(r)
	if err != nil {
		return err
	}
	return g.answer(w, one)
}

func (g groups) people(w http.ResponseWriter, r *http.Request) error {
	one, err := g.find(r)
	if err != nil {
		return err
	}
	max := directory.DefaultExpansion
	if text := r.URL.Query().Get("max"); text != "" {
		if max, err = strconv.Atoi(text); err != nil || max < 1 || max > directory.MaxExpansion {
			return &Problem{http.StatusBadRequest, "bad-max", fmt.Sprintf("max %q: want a number from 1 to %d", text, directory.MaxExpansion)}
		}
	}
	out := People{Users: []string{}}
	users, more := g.dir.Expand(one, max)
	for _, u := range users {
		out.Users = append(out.Users, string(u.AOR))
	}
	out.More = more
	return reply(w, out)
}

func (g groups) add(w http.ResponseWriter, r *http.Request) error {
	var c GroupChange
	if err := decode(r, &c); err != nil {
		return err
	}
	if r.Header.Get("If-None-Match") != "*" {
		return &Problem{http.StatusPreconditionRequired, "need-if-none-match",
			"PUT makes a new group and wants If-None-Match: *; use PATCH to change one"}
	}
	n := directory.NewGroup{Address: r.PathValue("address")}
	if c.Name != nil {
		n.Name = *c.Name
	}
	if c.Description != nil {
		n.Description = *c.Description
	}
	if c.Members != nil {
		n.Members = *c.Members
	}
	one, err := g.dir.AddGroup(r.Context(), n)
	if err != nil {
		return groupError(n.Address, err)
	}
	g.audit(r, "group.add", string(one.Address), c)
	w.Header().Set("Location", "/api/v1/groups/"+string(one.Address))
	w.Header().Set("ETag", etag(one.Version))
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusCreated)
	return json.NewEncoder(w).Encode(g.shape(one))
}

func (g groups) change(w http.ResponseWriter, r *http.Request) error {
	var c GroupChange
	if err := decode(r, &c); err != nil {
		return err
	}
	one, err := g.find(r)
	if err != nil {
		return err
	}
	version, err := wanted(r)
	if err != nil {
		return err
	}
	address := one.Address
	one, err = g.dir.SetGroup(r.Context(), address, directory.GroupChange{Version: version, Name: c.Name, Description: c.Description,
		Members: c.Members, Add: c.Add, Remove: c.Remove})
	if err != nil {
		return groupError(string(address), err)
	}
	g.audit(r, "group.change", string(address), c)
	return g.answer(w, one)
}

func (g groups) remove(w http.ResponseWriter, r *http.Request) error {
	one, err := g.find(r)
	if err != nil {
		return err
	}
	version, err := wanted(r)
	if err != nil {
		return err
	}
	if err := g.dir.RemoveGroup(r.Context(), one.Address, version); err != nil {
		return groupError(string(one.Address), err)
	}
	g.audit(r, "group.remove", string(one.Address), nil)
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func (g groups) find(r *http.Request) (*directory.Group, error) {
	text := r.PathValue("address")
	address, err := uc.ParseAOR(text)
	if err != nil {
		return nil, &Problem{http.StatusBadRequest, "bad-address", fmt.Sprintf("%q is not an address like team@example.test", text)}
	}
	one, ok := g.dir.LookupGroup(address)
	if !ok {
		return nil, groupError(string(address), store.ErrNotFound)
	}
	return one, nil
}

func groupError(address string, err error) error {
	var bad *directory.Invalid
	var taken *directory.Taken
	switch {
	case errors.As(err, &bad):
		return &Problem{http.StatusUnprocessableEntity, "bad-group", bad.Error()}
	case errors.As(err, &taken):
		return &Problem{http.StatusConflict, "address-taken", taken.Error()}
	case errors.Is(err, store.ErrNotFound):
		return &Problem{http.StatusNotFound, "no-group", fmt.Sprintf("there is no group %s; parley group list shows all", address)}
	}
	return userError(address, err)
}

func (g groups) answer(w http.ResponseWriter, one *directory.Group) error {
	w.Header().Set("ETag", etag(one.Version))
	return reply(w, g.shape(one))
}

func (g groups) shape(one *directory.Group) Group {
	out := Group{Address: string(one.Address), Name: one.Name, Description: one.Description, Members: []string{},
		Created: one.Created.UTC().Truncate(time.Microsecond), Changed: one.Changed.UTC().Truncate(time.Microsecond), Version: one.Version}
	users, nested := g.dir.Members(one)
	for _, u := range users {
		out.Members = append(out.Members, string(u.AOR))
	}
	for _, n := range nested {
		out.Members = append(out.Members, string(n.Address))
	}
	return out
}
