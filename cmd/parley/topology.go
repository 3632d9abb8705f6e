package main

import "github.com/spf13/cobra"

func topologyCommand() *cobra.Command {
	return &cobra.Command{Use: "topology", Short: "Show, check and change the deployment that this node belongs to"}
}
