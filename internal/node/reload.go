package node

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"

	"parley/internal/config"
	"parley/internal/obs"
	"parley/internal/service"
	"parley/internal/service/adminapi"
	"parley/internal/topology"
)

// Reload is part of adminapi.Control; SIGHUP calls it too. It reads the node
// file and the topology again, checks both, and applies what can change while
// the node runs; the rest waits for the next start and is told apart. On an
// error nothing has changed. Listeners are untouched.
func (n *Node) Reload(ctx context.Context, dry bool) ([]adminapi.Change, error) {
	n.reloading.Lock()
	defer n.reloading.Unlock()
	old := n.file.Load()
	next, err := config.Load(n.opt.DataDir, sections(n.specs)...)
	if err != nil {
		return nil, err
	}
	var changes []adminapi.Change
	for _, c := range config.Diff(old, next) {
		changes = append(changes, adminapi.Change{Section: c.Section, Text: c.Text, Live: c.Live})
	}
	topo, err := n.editedTopology()
	if err != nil {
		return nil, err
	}
	if topo != nil {
		changes = append(changes, topologyChanges(n.topo.Current(), topo)...)
	}
	if dry {
		return changes, nil
	}
	if err := n.reloadServices(ctx, old, next); err != nil {
		return nil, err
	}
	n.applyConfig(withLive(old, next))
	if topo != nil {
		if _, err := n.topo.Refresh(); err != nil {
			n.applyConfig(old)
			return nil, errors.Join(err, n.reloadServices(ctx, next, old))
		}
		n.topologyChanged(ctx)
	}
	if err := n.certs.Check(); err != nil {
		n.log.Error("certificates stay as they were", obs.Err(err))
	}
	for _, c := range changes {
		n.log.Info("configuration changed", "change", c.Text, "live", c.Live)
	}
	return changes, nil
}

// editedTopology is the topology on disk when it differs from the one in
// force, and nil otherwise.
func (n *Node) editedTopology() (*topology.Snapshot, error) {
	path := filepath.Join(n.opt.DataDir, topology.FileName)
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	if string(text) == string(n.topo.Current().Text()) {
		return nil, nil
	}
	next, err := topology.Parse(path, text)
	if err != nil {
		return nil, err
	}
	if problems := next.Validate(); topology.Failed(problems) {
		return nil, &topology.InvalidError{Problems: problems}
	}
	return next, n.inTopology(next)
}

// reloadServices offers every service its changed section. When one refuses,
// those before it get the old one back.
func (n *Node) reloadServices(ctx context.Context, old, next *config.File) error {
	var taken []*running
	for _, r := range n.myServices() {
		to := next.Section(r.spec.Name)
		rel, ok := r.svc.(service.Reloader)
		if !ok || to == nil || reflect.DeepEqual(old.Section(r.spec.Name), to) {
			continue
		}
		err := rel.Reload(ctx, to)
		if err == nil {
			taken = append(taken, r)
			continue
		}
		err = fmt.Errorf("service %s refuses its new settings: %w", r.spec.Name, err)
		for _, t := range taken {
			if back := t.svc.(service.Reloader).Reload(ctx, old.Section(t.spec.Name)); back != nil {
				err = errors.Join(err, fmt.Errorf("service %s does not take its old settings back: %w", t.spec.Name, back))
			}
		}
		return err
	}
	return nil
}

// applyConfig puts a node file in force.
func (n *Node) applyConfig(f *config.File) {
	old := n.file.Swap(f)
	n.setLogLevel(f) // the file has been checked
	n.setLimits(f.Limits)
	n.gate.SetLimits(n.gateLimits())
	if !reflect.DeepEqual(auth(old), auth(f)) {
		// The section is valid, so the gate takes it. Otherwise it keeps what
		// it has: its counts against addresses would begin anew.
		if err := n.gate.Reload(auth(f).settings()); err != nil {
			n.log.Error("the gate keeps its settings", obs.Err(err))
		}
		if err := n.setSigning(auth(f)); err != nil {
			n.log.Error("the gate keeps its authentication schemes", obs.Err(err))
		}
	}
}

// withLive is next with the old value of everything that needs a restart, so
// that what is in force and what is shown agree.
func withLive(old, next *config.File) *config.File {
	out := *next
	out.Config = old.Config
	to, from := reflect.ValueOf(&out.Config).Elem(), reflect.ValueOf(next.Config)
	for i := range to.NumField() {
		section := to.Type().Field(i).Type
		for j := range section.NumField() {
			if section.Field(j).Tag.Get("reload") == "live" {
				to.Field(i).Field(j).Set(from.Field(i).Field(j))
			}
		}
	}
	return &out
}
