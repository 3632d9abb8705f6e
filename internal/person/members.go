package person

import (
	"maps"
	"slices"
	"strings"

	"parley/internal/uc"
	"parley/internal/xmldoc/categories"
	"parley/internal/xmldoc/roaming"
)

// Watcher is somebody who wants to see a person.
type Watcher struct {
	AOR       uc.AOR
	Colleague bool // of this deployment; others are partners
}

// Level is the access level of a watcher: the container he is a member of, by
// the most specific of his memberships. Of equals being blocked wins, then the
// highest number.
func (p *Person) Level(w Watcher) uint32 {
	_, domain, _ := strings.Cut(string(w.AOR), "@")
	kind := roaming.Federated
	if w.Colleague {
		kind = roaming.SameEnterprise
	}
	best, found := 0, uint32(Default)
	for id, c := range p.containers {
		for _, m := range c.members {
			rank := 0
			switch {
			case m.Type == roaming.User && strings.EqualFold(m.Value, string(w.AOR)):
				rank = 4
			case m.Type == roaming.Domain && strings.EqualFold(m.Value, domain):
				rank = 3
			case m.Type == kind:
				rank = 2
			case m.Type == roaming.Everyone:
				rank = 1
			}
			if rank > best || rank == best && rank > 0 && id > found {
				best, found = rank, id
			}
		}
	}
	return found
}

// MembersPlan is a change of containers that was checked and not made yet.
type MembersPlan struct {
	Containers []roaming.Container // as they will be
}

// PlanMembers checks a change of containers against their versions.
func (p *Person) PlanMembers(changes []roaming.ContainerChange) (*MembersPlan, []categories.Conflict, error) {
	plan := &MembersPlan{}
	var conflicts []categories.Conflict
	for i, ch := range changes {
		var old container
		if c := p.containers[ch.ID]; c != nil {
			old = *c
		}
		if ch.Version != old.version {
			conflicts = append(conflicts, categories.Conflict{Index: i + 1, Version: ch.Version, Current: old.version})
			continue
		}
		members := slices.Clone(old.members)
		for _, m := range ch.Members {
			if m.Type == roaming.User {
				m.Value = bare(m.Value)
			}
			at := slices.Index(members, m.Member)
			switch {
			case m.Add && at < 0:
				members = append(members, m.Member)
			case !m.Add && at >= 0:
				members = slices.Delete(members, at, at+1)
			}
			// What is so already is no error: two endpoints may want the same.
		}
		if len(members) > maxMembers {
			return nil, nil, ErrTooMany
		}
		plan.Containers = append(plan.Containers, roaming.Container{ID: ch.ID, Version: old.version + 1, Members: members})
	}
	if conflicts != nil {
		return nil, conflicts, nil
	}
	return plan, nil, nil
}

// bare is an address without scheme, in lower case.
func bare(s string) string {
	if rest, ok := strings.CutPrefix(strings.ToLower(s), "sip:"); ok {
		return rest
	}
	return strings.ToLower(s)
}

// ApplyMembers makes a planned change.
func (p *Person) ApplyMembers(plan *MembersPlan) Changed {
	for _, c := range plan.Containers {
		p.LoadContainer(c)
	}
	return Changed{true, true}
}

// LoadContainer puts a container in that was stored.
func (p *Person) LoadContainer(c roaming.Container) {
	p.rev++
	p.membersRev = p.rev
	p.containers[c.ID] = &container{c.Version, c.Members, p.rev}
}

// TouchContainers has the owner's endpoints told of all containers again.
func (p *Person) TouchContainers() {
	p.rev++
	for _, c := range p.containers {
		c.rev = p.rev
	}
}

// Subscribed notes that somebody has put the person on his contact list, and
// reports whether that is news. utmost is how many are kept.
func (p *Person) Subscribed(by uc.AOR, name string, utmost int) bool {
	if p.subscribers[by] != nil || len(p.subscribers) >= utmost || by == p.AOR || p.Level(Watcher{by, true}) == Blocked {
		return false
	}
	p.LoadSubscriber(by, name, false)
	return true
}

// Acknowledge notes that the person has heard of subscribers, and returns those of
// whom it was news.
func (p *Person) Acknowledge(users []string) []uc.AOR {
	var done []uc.AOR
	for _, u := range users {
		aor := uc.AOR(bare(u))
		if s := p.subscribers[aor]; s != nil && !s.acknowledged {
			p.rev++
			s.acknowledged, s.rev = true, p.rev
			done = append(done, aor)
		}
	}
	return done
}

// LoadSubscriber puts a subscriber in that was stored.
func (p *Person) LoadSubscriber(by uc.AOR, name string, acknowledged bool) {
	p.rev++
	p.subscribers[by] = &subscriber{name, acknowledged, p.rev}
}

func (p *Person) subscriberList(since uint64) []roaming.Subscriber {
	out := []roaming.Subscriber{}
	for _, aor := range slices.Sorted(maps.Keys(p.subscribers)) {
		s := p.subscribers[aor]
		if s.rev <= since || since == 0 && s.acknowledged {
			continue
		}
		out = append(out, roaming.Subscriber{User: string(aor), DisplayName: s.name, Acknowledged: s.acknowledged, Type: roaming.SameEnterprise})
	}
	return out
}
