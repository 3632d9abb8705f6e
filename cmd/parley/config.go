package main

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"parley/internal/config"
	"parley/internal/node"
	"parley/internal/service/adminapi"
)

func configCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "config", Short: "Show, change and check the node file; media ports, trusted applications"}
	cmd.AddCommand(configGetCommand(), configSetCommand(), configCheckCommand(), configConferencingCommand(),
		trustedApplicationCommand(), trustedComputerCommand())
	return cmd
}

func configGetCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "get [SECTION.KEY | SECTION]",
		Short: "Show values of the node file, defaults included",
		Args:  cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			file, err := node.LoadConfig(dataDir(cmd))
			if err != nil {
				return err
			}
			var chosen []config.Value
			for _, v := range file.Values() {
				if len(args) == 0 || args[0] == v.Section || args[0] == v.Section+"."+v.Key {
					chosen = append(chosen, v)
				}
			}
			if len(chosen) == 0 {
				return fmt.Errorf("the node file has no key %s; parley config get lists all", args[0])
			}
			if asJSON {
				return printJSON(cmd.OutOrStdout(), chosen)
			}
			if len(chosen) == 1 && len(args) == 1 {
				_, err := fmt.Fprintln(cmd.OutOrStdout(), chosen[0].Value)
				return err
			}
			tw := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
			for _, v := range chosen {
				note := ""
				if v.Default {
					note = "default"
				}
				fmt.Fprintf(tw, "%s.%s\t%s\t%s\n", v.Section, v.Key, v.Value, note)
			}
			return tw.Flush()
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func configSetCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "set SECTION.KEY VALUE",
		Short: "Change a value of the node file; a running server takes it up",
		Example: `  parley config set log.level debug
  parley config set listen.offset 10000
  parley config set listen.addresses '["192.0.2.10"]'`,
		Args: cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			section, key, ok := strings.Cut(args[0], ".")
			if !ok {
				return fmt.Errorf("%q: want SECTION.KEY, such as log.level", args[0])
			}
			path := filepath.Join(dataDir(cmd), config.FileName)
			old, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			text, err := changedConfig(path, old, section, key, args[1])
			if err != nil {
				return err
			}
			if err := node.WriteFile(path, text); err != nil {
				return err
			}
			result, err := reload(cmd, false)
			if errors.Is(err, adminapi.ErrNotRunning) {
				_, err = fmt.Fprintf(cmd.OutOrStdout(), "set %s; it takes effect when the server starts\n", args[0])
				return err
			}
			if err != nil {
				return errors.Join(err, node.WriteFile(path, old))
			}
			return printReload(cmd, result)
		},
	}
}

// changedConfig is the node file with one value changed, and valid. A value
// that is no TOML by itself, such as debug or 30s, is taken for text.
func changedConfig(path string, old []byte, section, key, value string) ([]byte, error) {
	var first error
	for _, literal := range []string{value, strconv.Quote(value)} {
		text, err := config.Set(old, section, key, literal)
		if err != nil {
			return nil, err
		}
		if _, err = node.CheckConfig(path, text); err == nil {
			return text, nil
		}
		first = err // the quoted form gives the better message
	}
	return nil, fmt.Errorf("not changed: %w", first)
}

func configCheckCommand() *cobra.Command {
	var running, asJSON bool
	cmd := &cobra.Command{
		Use:   "check",
		Short: "Check the node file; with --against-running, show what a reload would change",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if !running {
				if _, err := node.LoadConfig(dataDir(cmd)); err != nil {
					return err
				}
				_, err := fmt.Fprintln(cmd.OutOrStdout(), "the node file is in order")
				return err
			}
			result, err := reload(cmd, true)
			if err != nil {
				return err
			}
			if asJSON {
				return printJSON(cmd.OutOrStdout(), result)
			}
			return printReload(cmd, result)
		},
	}
	cmd.Flags().BoolVar(&running, "against-running", false, "compare with what the running server uses")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

// reload asks the running server to read its files again.
func reload(cmd *cobra.Command, dry bool) (*adminapi.ReloadResult, error) {
	client := adminapi.NewClient(dataDir(cmd))
	defer client.Close()
	path := "/reload"
	if dry {
		path += "?dry-run=1"
	}
	var result adminapi.ReloadResult
	_, err := client.Do(cmd.Context(), http.MethodPost, path, "", nil, &result)
	return &result, err
}

func printReload(cmd *cobra.Command, r *adminapi.ReloadResult) error {
	w := cmd.OutOrStdout()
	if len(r.Changes) == 0 {
		_, err := fmt.Fprintln(w, "nothing differs from what the server uses")
		return err
	}
	for _, c := range r.Changes {
		when := "in force"
		switch {
		case !c.Live:
			when = "at the next start"
		case !r.Applied:
			when = "at a reload"
		}
		if _, err := fmt.Fprintf(w, "%-18s %s\n", when, c.Text); err != nil {
			return err
		}
	}
	return nil
}
