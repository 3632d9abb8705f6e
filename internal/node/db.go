package node

import (
	"context"

	"parley/internal/store"
)

// Backup copies the store of a node to a new file. The node may run.
func Backup(ctx context.Context, dataDir, path string) error {
	file, err := LoadConfig(dataDir)
	if err != nil {
		return err
	}
	db, err := store.Open(ctx, dsn(dataDir, file.Store))
	if err != nil {
		return err
	}
	defer db.Close()
	return db.Backup(ctx, path)
}

// Restore fills the store of a stopped node from a backup.
func Restore(ctx context.Context, dataDir, path string) error {
	unlock, err := lockData(dataDir)
	if err != nil {
		return err
	}
	defer unlock()
	file, err := LoadConfig(dataDir)
	if err != nil {
		return err
	}
	return store.Restore(ctx, dsn(dataDir, file.Store), path)
}

// MoveStore copies the store of a stopped node to another address.
func MoveStore(ctx context.Context, dataDir, to string) ([]store.TableCount, error) {
	unlock, err := lockData(dataDir)
	if err != nil {
		return nil, err
	}
	defer unlock()
	file, err := LoadConfig(dataDir)
	if err != nil {
		return nil, err
	}
	return store.Move(ctx, dsn(dataDir, file.Store), to)
}
