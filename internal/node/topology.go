package node

import (
	"context"
	"errors"
	"fmt"

	"parley/internal/config"
	"parley/internal/obs"
	"parley/internal/service/adminapi"
	"parley/internal/topology"
)

func (n *Node) loadTopology(context.Context) error {
	st, err := topology.OpenStore(n.opt.DataDir)
	if err != nil {
		return err
	}
	if err := n.inTopology(st.Current()); err != nil {
		return err
	}
	n.topo = st
	return nil
}

// inTopology refuses a topology in which this node does not exist.
func (n *Node) inTopology(s *topology.Snapshot) error {
	self := n.file.Load().Node.FQDN
	if _, ok := s.Node(self); !ok {
		return fmt.Errorf("no pool of the topology has a server %s, which is the name of this node (node.fqdn in %s)", self, config.FileName)
	}
	return nil
}

// Topology is part of adminapi.Control.
func (n *Node) Topology() ([]byte, int64) {
	s := n.topo.Current()
	return s.Text(), s.Revision()
}

// ApplyTopology is part of adminapi.Control.
func (n *Node) ApplyTopology(ctx context.Context, text []byte, revision int64, dry bool) ([]adminapi.Change, error) {
	n.reloading.Lock()
	defer n.reloading.Unlock()
	old := n.topo.Current()
	next, err := topology.Parse(topology.FileName, text)
	if err != nil {
		return nil, err
	}
	if problems := next.Validate(); topology.Failed(problems) {
		return nil, &topology.InvalidError{Problems: problems}
	}
	if err := n.inTopology(next); err != nil {
		return nil, err
	}
	changes := topologyChanges(old, next)
	if dry {
		return changes, nil
	}
	_, err = n.topo.Apply(text, "applied by an administrator", revision)
	if errors.Is(err, topology.ErrStale) {
		return nil, &adminapi.Problem{Status: 412, ID: "topology-changed", Message: err.Error()}
	}
	if err != nil {
		return nil, err
	}
	n.topologyChanged(ctx)
	return changes, nil
}

func topologyChanges(old, next *topology.Snapshot) []adminapi.Change {
	var out []adminapi.Change
	for _, c := range topology.Diff(old.Topology(), next.Topology()) {
		out = append(out, adminapi.Change{Section: "topology", Text: c.String(), Live: true})
	}
	return out
}

// topologyChanged brings what depends on the topology in line with it. The
// rest asks for the current snapshot with every decision.
func (n *Node) topologyChanged(ctx context.Context) {
	if err := n.addDomains(ctx); err != nil {
		n.log.Error("domains of the new topology are not all known", obs.Err(err))
	}
	n.updateSelf()
	if err := n.certs.Check(); err != nil {
		n.log.Error("no certificate for the names of the new topology", obs.Err(err))
	}
	n.log.Info("topology in force", "revision", n.topo.Current().Revision())
}
