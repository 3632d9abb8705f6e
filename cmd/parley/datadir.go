package main

import (
	"encoding/json"
	"io"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"
)

// defaultDataDir is where a node lives when --data is not given: /var/lib/parley for root, the user's state
// directory otherwise.
func defaultDataDir() string {
	if os.Geteuid() == 0 {
		return "/var/lib/parley"
	}
	if dir := os.Getenv("XDG_STATE_HOME"); filepath.IsAbs(dir) {
		return filepath.Join(dir, "parley")
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "parley-data"
	}
	return filepath.Join(home, ".local", "state", "parley")
}

// dataDir is the value of --data of a command.
func dataDir(cmd *cobra.Command) string {
	dir, err := cmd.Flags().GetString("data")
	if err != nil {
		panic(err) // the root command defines it
	}
	return dir
}

// printJSON writes v as indented JSON with a newline at the end.
func printJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(v)
}
