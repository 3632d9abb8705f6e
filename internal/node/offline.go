package node

import (
	"context"
	"log/slog"
	"net/http"
	"path/filepath"
	"time"

	"parley/internal/config"
	"parley/internal/directory"
	"parley/internal/keyring"
	"parley/internal/service/adminapi"
	"parley/internal/service/all"
	"parley/internal/store"
	"parley/internal/topology"
)

// Offline is the directory of a node that is stopped, open for administration.
// It holds the lock of the data directory.
type Offline struct {
	unlock func()
	db     *store.DB
	dir    *directory.Directory
	api    *adminapi.Server
}

// OpenOffline opens the directory of a stopped node. A running server, or
// another tool at work, is an error.
func OpenOffline(ctx context.Context, dataDir string) (_ *Offline, err error) {
	off := &Offline{}
	defer func() {
		if err != nil {
			off.Close()
		}
	}()
	if off.unlock, err = lockData(dataDir); err != nil {
		return nil, err
	}
	file, err := config.Load(dataDir, sections(all.Specs())...)
	if err != nil {
		return nil, err
	}
	topo, err := topology.OpenStore(dataDir)
	if err != nil {
		return nil, err
	}
	keys, err := keyring.OpenOrCreate(filepath.Join(dataDir, keyring.FileName))
	if err != nil {
		return nil, err
	}
	if off.db, err = store.Open(ctx, dsn(dataDir, file.Store)); err != nil {
		return nil, err
	}
	if err := off.db.Migrate(ctx, "admin", adminapi.Schema()); err != nil {
		return nil, err
	}
	log := slog.New(slog.DiscardHandler)
	if off.dir, err = directory.Open(ctx, off.db, nil, keys, log); err != nil {
		return nil, err
	}
	for _, d := range topo.Current().Domains() {
		if err := off.dir.AddDomain(ctx, string(d)); err != nil {
			return nil, err
		}
	}
	off.api = adminapi.New(adminapi.Config{Log: log, Now: time.Now, Users: off.dir, Audit: adminapi.NewAudit(off.db)})
	return off, nil
}

// Handler serves the resources of the admin API that need no running server.
func (o *Offline) Handler() http.Handler { return o.api.Handler() }

// Close releases everything.
func (o *Offline) Close() {
	if o.dir != nil {
		o.dir.Close()
	}
	if o.db != nil {
		o.db.Close()
	}
	if o.unlock != nil {
		o.unlock()
	}
}

// LoadConfig reads and checks the node file of a data directory with the
// sections of every service.
func LoadConfig(dataDir string) (*config.File, error) {
	return config.Load(dataDir, sections(all.Specs())...)
}

// CheckConfig is LoadConfig for a text that is not in its place yet.
func CheckConfig(path string, text []byte) (*config.File, error) {
	return config.Parse(path, text, sections(all.Specs())...)
}

// Sections are the parts of the node file beside the node's own.
func Sections() []config.Section { return sections(all.Specs()) }
