// Parley is the telephone and messaging server: one binary whose verbs read as sentences.
//
// Each verb is a file of this package with one function `func xxxCommand() *cobra.Command`, listed in
// commands below. Verbs that touch a node take --data; wherever something is printed, --json prints it for
// programs. The exit status is 0 only when the verb did what it says.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
)

// commands lists the verbs in the order in which help shows them.
func commands() []*cobra.Command {
	return []*cobra.Command{
		demoCommand(),
		initCommand(),
		serveCommand(),
		statusCommand(),
		userCommand(),
		replicateCommand(),
		groupCommand(),
		registrationsCommand(),
		callsCommand(),
		traceCommand(),
		topologyCommand(),
		planCommand(),
		probeCommand(),
		portsCommand(),
		configCommand(),
		dbCommand(),
		versionCommand(),
	}
}

func rootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:           "parley",
		Short:         "Telephone, messaging and meeting server",
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.PersistentFlags().String("data", defaultDataDir(), "directory of this node")
	root.CompletionOptions.HiddenDefaultCmd = true
	root.AddCommand(commands()...)
	cobra.EnableCommandSorting = false
	return root
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

// run is the program without the process: it returns the exit status.
func run(ctx context.Context, args []string, in io.Reader, out, errOut io.Writer) int {
	root := rootCommand()
	root.SetArgs(args)
	root.SetIn(in)
	root.SetOut(out)
	root.SetErr(errOut)
	err := root.ExecuteContext(ctx)
	var s exitStatus
	switch {
	case err == nil:
		return 0
	case errors.As(err, &s):
		return int(s)
	}
	fmt.Fprintln(errOut, "parley:", err)
	return 1
}

// exitStatus is an error that only sets the exit status: what was wrong has been printed already.
type exitStatus int

func (s exitStatus) Error() string { return fmt.Sprintf("exit status %d", int(s)) }
