package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"

	"parley/internal/obs"
)

// Run starts a node and keeps it until ctx ends or an administrator asks for a
// drain; then it drains and stops. SIGHUP reloads. A second interrupt while it
// drains ends the drain at once. When every service is up, up is called;
// without it a line with "ready" is written for scripts.
func Run(ctx context.Context, opt Options, up func(*Node)) error {
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, syscall.SIGHUP, os.Interrupt, syscall.SIGTERM)
	defer signal.Stop(signals)

	n := New(opt)
	if err := n.Start(ctx); err != nil {
		return err
	}
	n.background.Go(func() { paceGC(n.run) })
	if up != nil {
		up(n)
	} else {
		n.SayReady()
	}
	deadline := n.waitForEnd(ctx, signals)
	quiesce, cancel := context.WithTimeout(context.WithoutCancel(ctx), deadline)
	over := make(chan struct{})
	go func() {
		defer close(over)
		if err := n.Quiesce(quiesce); err != nil {
			n.log.Warn("drain cut short", obs.Err(err), "calls", n.calls.len())
		}
	}()
	n.log.Info("draining", "deadline", deadline, "calls", n.calls.len())
	for waiting := true; waiting; {
		select {
		case <-over:
			waiting = false
		case s := <-signals:
			if s != syscall.SIGHUP {
				cancel()
			}
		}
	}
	cancel()
	stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTime)
	defer cancel()
	err := n.Stop(stop)
	n.log.Info("stopped")
	return err
}

// waitForEnd serves until the node is to end, and returns how long it may
// drain.
func (n *Node) waitForEnd(ctx context.Context, signals <-chan os.Signal) time.Duration {
	for {
		select {
		case <-ctx.Done():
			// The signal behind it is in the channel as well, and must not
			// count as the second one.
			select {
			case <-signals:
			case <-time.After(100 * time.Millisecond):
			}
			return n.drainDeadline()
		case d := <-n.drain:
			return d
		case s := <-signals:
			if s != syscall.SIGHUP {
				return n.drainDeadline()
			}
			if _, err := n.Reload(ctx, false); err != nil {
				n.log.Error("reload refused, everything stays as it was", obs.Err(err))
			}
		}
	}
}

func (n *Node) drainDeadline() time.Duration {
	if n.opt.DrainDeadline != 0 {
		return n.opt.DrainDeadline
	}
	return n.file.Load().Drain.Deadline.Std()
}

// errDraining is what flows end with when the node goes.
var errDraining = errors.New("the server is going down")

// Quiesce refuses new work and waits for the old to finish, until ctx ends: not
// ready, no new connections, new dialogs refused, services drained, calls
// over, connections closed one after the other. Stop follows it.
func (n *Node) Quiesce(ctx context.Context) error {
	n.state.Store(int32(draining))
	n.members.Leave()
	n.layer.StopAccepting()
	var errs []error
	all := n.myServices()
	for i := len(all) - 1; i >= 0; i-- {
		r := all[i]
		if state, _ := r.status(); r.svc == nil || state == "failed" {
			continue
		}
		r.set("draining", nil)
		if err := r.svc.Drain(ctx); err != nil {
			errs = append(errs, fmt.Errorf("service %s: %w", r.spec.Name, err))
		}
	}
	errs = append(errs, n.calls.wait(ctx))
	// Spread over a second at most: clients come back elsewhere, not all at
	// once.
	spread := min(time.Second, time.Duration(n.layer.Stats().OpenStreams.Load())*time.Millisecond)
	n.layer.CloseFlows(ctx, spread, errDraining)
	errs = append(errs, n.bus.Leave(ctx))
	return errors.Join(errs...)
}

// SayReady writes the line that scripts wait for, whatever the log level.
func (n *Node) SayReady() {
	r := slog.NewRecord(n.now(), slog.LevelInfo, "ready", 0)
	r.AddAttrs(slog.Duration(obs.KeyDur, n.now().Sub(n.started).Round(time.Millisecond)))
	if n.adminAddr != "" {
		r.AddAttrs(slog.String("health", n.adminAddr))
	}
	for _, l := range n.listeners.all() {
		r.AddAttrs(slog.String(l.port.Row, string(l.port.Transport)+":"+l.addr.String()))
	}
	n.log.Handler().Handle(context.Background(), r)
}
