package person

import (
	"time"

	"parley/internal/xmldoc/categories"
)

// Refusal is why a request was refused as a whole.
type Refusal string

func (r Refusal) Error() string { return string(r) }

// The refusals.
const (
	ErrServersOwn = Refusal("this category is published by the server")
	ErrTooMuch    = Refusal("more publications than a user may have")
	ErrTooMany    = Refusal("more members than a container may have")
	ErrMember     = Refusal("member is there already, or is not there")
)

// Plan is a change that was checked and not made yet, so that it can be stored
// before.
type Plan struct {
	Put  []Publication
	Drop []categories.Key
}

// Plan checks publications by an endpoint against the current versions. All or
// none of them are made; conflicts says which stand against it.
func (p *Person) Plan(pubs []categories.Publication, endpoint string, now time.Time) (*Plan, []categories.Conflict, error) {
	plan := &Plan{}
	var conflicts []categories.Conflict
	count, size := p.count, p.size
	for i := range pubs {
		in := &pubs[i]
		if serversOwn(in) {
			return nil, nil, ErrServersOwn
		}
		var current uint32
		if c := p.names[in.Name]; c != nil {
			if old := c.pubs[id(in.Key)]; old != nil {
				current = old.Version
				count--
				size -= len(old.Body)
			}
		}
		if in.Version != current {
			conflicts = append(conflicts, categories.Conflict{Index: i + 1, Version: in.Version, Current: current})
			continue
		}
		if in.Delete {
			plan.Drop = append(plan.Drop, in.Key)
			continue
		}
		count++
		size += len(in.Body)
		out := Publication{Category: categories.Category{Key: in.Key, Version: current + 1, PublishTime: now, ExpireType: in.ExpireType, Body: in.Body},
			State: in.State, Endpoint: endpoint}
		if in.ExpireType == categories.Timed {
			d := time.Duration(in.Expires) * time.Second
			if d == 0 {
				d = timedDefault
			}
			out.Expires = now.Add(min(d, timedMax))
		}
		plan.Put = append(plan.Put, out)
	}
	if conflicts != nil {
		return nil, conflicts, nil
	}
	if count > maxPublications || size > maxBytes {
		return nil, nil, ErrTooMuch
	}
	return plan, nil, nil
}

// serversOwn reports whether a publication would take the place of the server's.
func serversOwn(in *categories.Publication) bool {
	switch in.Name {
	case "userProperties":
		return true
	case "contactCard":
		return in.Instance == 0 && in.Container == Default
	case categories.StateName:
		return in.State != nil && (in.State.Type == categories.AggregateState || in.State.Type == "aggregateMachineState") ||
			in.Instance == aggregateInstance && in.Container != Self
	}
	return false
}

// Apply makes a planned change.
func (p *Person) Apply(plan *Plan, now time.Time) (ch Changed) {
	for i := range plan.Put {
		p.put(&plan.Put[i])
		ch.Watchers = ch.Watchers || level(plan.Put[i].Container)
	}
	for _, k := range plan.Drop {
		if c := p.names[k.Name]; c != nil && c.pubs[id(k)] != nil {
			p.drop(c, c.pubs[id(k)])
			ch.Watchers = ch.Watchers || level(k.Container)
		}
	}
	ch.Owner = true
	ch.Watchers = p.update(now) || ch.Watchers
	return ch
}

// Names are the categories of a plan.
func (plan *Plan) Names() map[string]bool {
	names := map[string]bool{}
	for i := range plan.Put {
		names[plan.Put[i].Name] = true
	}
	for _, k := range plan.Drop {
		names[k.Name] = true
	}
	return names
}
