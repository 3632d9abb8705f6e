package main

import "github.com/spf13/cobra"

func portsCommand() *cobra.Command {
	return &cobra.Command{Use: "ports", Short: "List every row of the port plan, who serves it, and its state"}
}
