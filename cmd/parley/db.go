package main

import (
	"fmt"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"parley/internal/node"
)

func dbCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "db", Short: "Back up, restore and move the store"}
	cmd.AddCommand(
		&cobra.Command{
			Use:   "backup FILE",
			Short: "Write a copy of the store to a new file; the server may run meanwhile",
			Long: `Write a copy of the store to a new file; the server may run meanwhile.

The password verifiers in it are sealed with the keys in the file "keyring" of the data directory:
keep a copy of that as well, and not in the same place.`,
			Args: cobra.ExactArgs(1),
			RunE: func(cmd *cobra.Command, args []string) error {
				if err := node.Backup(cmd.Context(), dataDir(cmd), args[0]); err != nil {
					return err
				}
				_, err := fmt.Fprintf(cmd.OutOrStdout(), "backed up to %s\n", args[0])
				return err
			},
		},
		&cobra.Command{
			Use:   "restore FILE",
			Short: "Fill an empty store from a backup; the server must be stopped",
			Args:  cobra.ExactArgs(1),
			RunE: func(cmd *cobra.Command, args []string) error {
				if err := node.Restore(cmd.Context(), dataDir(cmd), args[0]); err != nil {
					return err
				}
				_, err := fmt.Fprintf(cmd.OutOrStdout(), "restored from %s\n", args[0])
				return err
			},
		},
		&cobra.Command{
			Use:     "move DSN",
			Short:   "Copy the store to an empty one, perhaps on the other engine; the server must be stopped",
			Example: "  parley db move postgres://parley:PASSWORD@db.example.test/parley",
			Args:    cobra.ExactArgs(1),
			RunE: func(cmd *cobra.Command, args []string) error {
				tables, err := node.MoveStore(cmd.Context(), dataDir(cmd), args[0])
				if err != nil {
					return err
				}
				tw := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
				fmt.Fprintln(tw, "TABLE\tROWS")
				for _, t := range tables {
					fmt.Fprintf(tw, "%s\t%d\n", t.Table, t.Rows)
				}
				if err := tw.Flush(); err != nil {
					return err
				}
				_, err = fmt.Fprintln(cmd.OutOrStdout(), "\nThe old store is as it was. To use the new one: parley config set store.dsn DSN")
				return err
			},
		},
	)
	return cmd
}
