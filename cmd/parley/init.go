package main

import "github.com/spf13/cobra"

func initCommand() *cobra.Command {
	return &cobra.Command{Use: "init", Short: "Make a node: configuration, topology, internal CA and certificates"}
}
