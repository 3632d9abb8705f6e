package adminapi

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"parley/internal/directory"
	"parley/internal/store"
	"parley/internal/uc"
)

// users is the resource /api/v1/users.
type users struct {
	dir   *directory.Directory
	audit func(r *http.Request, action, object string, detail any)
}

// list answers with all users, or those of whom q speaks, and with role=1 those who have a role; skip and max choose a
// page of them. The header Parley-Total says how many there are.
func (u users) list(w http.ResponseWriter, r *http.Request) error {
	q := r.URL.Query()
	all := u.dir.List()
	if text := strings.ToLower(strings.TrimSpace(q.Get("q"))); text != "" {
		all = slices.DeleteFunc(all, func(one *directory.User) bool { return !speaksOf(one, text) })
	}
	if q.Get("role") != "" {
		all = slices.DeleteFunc(all, func(one *directory.User) bool { return one.Role == directory.NoRole })
	}
	w.Header().Set("Parley-Total", strconv.Itoa(len(all)))
	if n, err := strconv.Atoi(q.Get("skip")); err == nil && n > 0 {
		all = all[min(n, len(all)):]
	}
	max := len(all)
	if n, err := strconv.Atoi(q.Get("max")); err == nil && n >= 0 && n < max {
		max = n
	}
	out := make([]User, 0, max)
	for _, one := range all[:max] {
		out = append(out, shape(one))
	}
	return reply(w, out)
}

// speaksOf reports whether an address, the name or a number of a user contains a text in lower case.
func speaksOf(u *directory.User, text string) bool {
	if strings.Contains(strings.ToLower(u.Name), text) || strings.Contains(string(u.AOR), text) || strings.Contains(string(u.Role), text) {
		return true
	}
	for _, a := range u.Aliases {
		if strings.Contains(string(a), text) {
			return true
		}
	}
	digits := ""
	if strings.Trim(text, "0123456789+-(). ") == "" { // a number as people write one
		digits = strings.NewReplacer("-", "", "(", "", ")", "", ".", "", " ", "").Replace(text)
	}
	for _, p := range u.Phones {
		if strings.Contains(p, text) || digits != "" && strings.Contains(p, digits) {
			return true
		}
	}
	return false
}

func (u users) show(w http.ResponseWriter, r *http.Request) error {
	one, err := u.find(r)
	if err != nil {
		return err
	}
	return answerUser(w, one)
}

func (u users) add(w http.ResponseWriter, r *http.Request) error {
	var c UserChange
	if err := decode(r, &c); err != nil {
		return err
	}
	if r.Header.Get("If-None-Match") != "*" {
		return &Problem{http.StatusPreconditionRequired, "need-if-none-match",
			"PUT makes a new user and wants If-None-Match: *; use PATCH to change one"}
	}
	n := directory.NewUser{AOR: r.PathValue("aor")}
	if c.Name != nil {
		n.Name = *c.Name
	}
	if c.Aliases != nil {
		n.Aliases = *c.Aliases
	}
	if c.Phones != nil {
		n.Phones = *c.Phones
	}
	if c.Enabled != nil {
		n.Disabled = !*c.Enabled
	}
	if c.Role != nil {
		n.Role = directory.Role(*c.Role)
	}
	if c.Password != nil {
		n.Password = *c.Password
	}
	if c.Policy != nil {
		p, err := merge(directory.DefaultPolicy(), c.Policy)
		if err != nil {
			return err
		}
		n.Policy = &p
	}
	var err error
	if n.Profile, err = mergeProfile(n.Profile, c.Profile); err != nil {
		return err
	}
	if c.Photo != nil && len(*c.Photo) > 0 {
		if _, err := directory.ParsePhoto(*c.Photo); err != nil {
			return userError(n.AOR, err)
		}
	}
	one, err := u.dir.Add(r.Context(), n)
	if err != nil {
		return userError(n.AOR, err)
	}
	if c.Photo != nil && len(*c.Photo) > 0 {
		if one, err = u.dir.SetPhoto(r.Context(), one.AOR, *c.Photo, 0); err != nil {
			return userError(n.AOR, err)
		}
	}
	u.audit(r, "user.add", string(one.AOR), c.audited())
	w.Header().Set("Location", "/api/v1/users/"+string(one.AOR))
	w.Header().Set("ETag", etag(one.Version))
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusCreated)
	return json.NewEncoder(w).Encode(shape(one))
}

func (u users) change(w http.ResponseWriter, r *http.Request) error {
	var c UserChange
	if err := decode(r, &c); err != nil {
		return err
	}
	one, err := u.find(r)
	if err != nil {
		return err
	}
	version, err := wanted(r)
	if err != nil {
		return err
	}
	if err := mayChange(r, one, &c); err != nil {
		return err
	}
	aor := one.AOR
	set := directory.Change{Version: version, Name: c.Name, Aliases: c.Aliases, Phones: c.Phones, Enabled: c.Enabled}
	if c.Policy != nil {
		p, err := merge(one.Policy, c.Policy)
		if err != nil {
			return err
		}
		set.Policy = &p
	}
	if c.Role != nil {
		role := directory.Role(*c.Role)
		set.Role = &role
	}
	if c.Profile != nil {
		p, err := mergeProfile(one.Profile, c.Profile)
		if err != nil {
			return err
		}
		set.Profile = &p
	}
	if c.Name != nil || c.Aliases != nil || c.Phones != nil || c.Enabled != nil || c.Policy != nil || c.Profile != nil || c.Role != nil {
		if one, err = u.dir.Set(r.Context(), aor, set); err != nil {
			return userError(string(aor), err)
		}
	} else if version != 0 && version != one.Version {
		return userError(string(one.AOR), store.ErrStale)
	}
	if c.Password != nil {
		if err := u.dir.SetPassword(r.Context(), one.AOR, *c.Password); err != nil {
			return userError(string(one.AOR), err)
		}
		one, _ = u.dir.Lookup(one.AOR)
	}
	if c.Photo != nil {
		if one, err = u.dir.SetPhoto(r.Context(), one.AOR, *c.Photo, 0); err != nil {
			return userError(string(aor), err)
		}
	}
	u.audit(r, "user.change", string(one.AOR), c.audited())
	return answerUser(w, one)
}

func (u users) remove(w http.ResponseWriter, r *http.Request) error {
	one, err := u.find(r)
	if err != nil {
		return err
	}
	version, err := wanted(r)
	if err != nil {
		return err
	}
	if err := mayRemove(r, one); err != nil {
		return err
	}
	if err := u.dir.Remove(r.Context(), one.AOR, version); err != nil {
		return userError(string(one.AOR), err)
	}
	u.audit(r, "user.remove", string(one.AOR), nil)
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func (u users) find(r *http.Request) (*directory.User, error) {
	text := r.PathValue("aor")
	aor, err := uc.ParseAOR(text)
	if err != nil {
		return nil, &Problem{http.StatusBadRequest, "bad-address", fmt.Sprintf("%q is not an address like alice@example.test", text)}
	}
	one, ok := u.dir.Lookup(aor)
	if !ok {
		return nil, userError(string(aor), store.ErrNotFound)
	}
	return one, nil
}

// wanted is the version a write is based on: 0 for If-Match: *.
func wanted(r *http.Request) (int64, error) {
	switch m := r.Header.Get("If-Match"); m {
	case "":
		return 0, &Problem{http.StatusPreconditionRequired, "need-if-match",
			"a change wants If-Match with the ETag of what it changes, or *"}
	case "*":
		return 0, nil
	default:
		return parseETag(m)
	}
}

// merge puts single policies over those a user has.
func merge(p directory.Policy, changes map[string]json.RawMessage) (directory.Policy, error) {
	b, err := json.Marshal(changes)
	if err != nil {
		return p, err
	}
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&p); err != nil {
		return p, &Problem{http.StatusUnprocessableEntity, "bad-policy", "policy: " + strings.TrimPrefix(err.Error(), "json: ")}
	}
	return p, nil
}

// mergeProfile puts single fields over those a user has.
func mergeProfile(p directory.Profile, changes map[string]string) (directory.Profile, error) {
	b, err := json.Marshal(changes)
	if err != nil {
		return p, err
	}
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&p); err != nil {
		return p, &Problem{http.StatusUnprocessableEntity, "bad-profile", "profile: " + strings.TrimPrefix(err.Error(), "json: ")}
	}
	return p, nil
}

func (u users) photo(w http.ResponseWriter, r *http.Request) error {
	one, err := u.find(r)
	if err != nil {
		return err
	}
	p, err := u.dir.Photo(r.Context(), one.ID)
	if errors.Is(err, store.ErrNotFound) {
		return &Problem{http.StatusNotFound, "no-photo", fmt.Sprintf("%s has no photo", one.AOR)}
	}
	if err != nil {
		return userError(string(one.AOR), err)
	}
	return reply(w, Photo{p.Type, p.Image})
}

// audited is the change as it may be kept: without password and picture.
func (c UserChange) audited() UserChange {
	if c.Photo != nil {
		size := []byte(fmt.Sprintf("[%d bytes]", len(*c.Photo)))
		c.Photo = &size
	}
	if c.Password != nil {
		hidden := "[changed]"
		c.Password = &hidden
	}
	return c
}

func userError(aor string, err error) error {
	var bad *directory.Invalid
	switch {
	case errors.As(err, &bad):
		return &Problem{http.StatusUnprocessableEntity, "bad-user", bad.Error()}
	case errors.Is(err, store.ErrNotFound):
		return &Problem{http.StatusNotFound, "no-user", fmt.Sprintf("there is no user %s; parley user list shows all", aor)}
	case errors.Is(err, store.ErrConflict):
		return &Problem{http.StatusConflict, "user-exists", fmt.Sprintf("%s: the address or a number is taken already", aor)}
	case errors.Is(err, store.ErrStale):
		return &Problem{http.StatusPreconditionFailed, "user-changed", fmt.Sprintf("%s was changed by somebody else meanwhile; look again and repeat", aor)}
	case errors.Is(err, store.ErrUnavailable):
		return &Problem{http.StatusServiceUnavailable, "store-unavailable", err.Error()}
	case errors.Is(err, context.Canceled):
		return err
	}
	return err
}

func answerUser(w http.ResponseWriter, u *directory.User) error {
	w.Header().Set("ETag", etag(u.Version))
	return reply(w, shape(u))
}

func shape(u *directory.User) User {
	aliases := make([]string, 0, len(u.Aliases))
	for _, a := range u.Aliases {
		aliases = append(aliases, string(a))
	}
	return User{AOR: string(u.AOR), Name: u.Name, Aliases: aliases, Phones: list(u.Phones), Enabled: u.Enabled,
		HasPassword: u.HasPassword, Role: u.Role, Source: u.Origin.Source, Policy: u.Policy, Profile: u.Profile, PhotoSize: u.PhotoSize, Created: u.Created.UTC().Truncate(time.Microsecond),
		Changed: u.Changed.UTC().Truncate(time.Microsecond), Version: u.Version}
}
