package main

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"reflect"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"parley/internal/directory"
	"parley/internal/service/adminapi"
)

func groupCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "group",
		Short: "Add, list, show, change and remove distribution lists",
		Long: `Add, list, show, change and remove distribution lists.

A group has an address and members: users, and other groups. These verbs go to the running server; when it
is stopped they work on its data directory.`,
	}
	cmd.AddCommand(groupAddCommand(), groupListCommand(), groupShowCommand(), groupSetCommand(), groupRemoveCommand())
	return cmd
}

func groupPath(address string) string { return "/groups/" + url.PathEscape(address) }

// groupFlags are what add and set have in common.
type groupFlags struct {
	name, description string
	members           []string
	json              bool
}

func (f *groupFlags) define(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.name, "name", "", `display name, such as "Sales"`)
	cmd.Flags().StringVar(&f.description, "description", "", "what the group is for")
	cmd.Flags().StringArrayVar(&f.members, "member", nil, "address of a user or group; may be repeated; an empty one means none")
	cmd.Flags().BoolVar(&f.json, "json", false, "print JSON")
}

func (f *groupFlags) change(cmd *cobra.Command) adminapi.GroupChange {
	var c adminapi.GroupChange
	if cmd.Flags().Changed("name") {
		c.Name = &f.name
	}
	if cmd.Flags().Changed("description") {
		c.Description = &f.description
	}
	if cmd.Flags().Changed("member") {
		c.Members = notEmpty(f.members)
	}
	return c
}

func groupAddCommand() *cobra.Command {
	var f groupFlags
	cmd := &cobra.Command{
		Use:     "add GROUP@DOMAIN",
		Short:   "Add a group",
		Example: `  parley group add sales@example.test --name "Sales" --member alice@example.test --member bob@example.test`,
		Args:    cobra.ExactArgs(1),
		RunE: withUsers(func(cmd *cobra.Command, args []string, client *adminapi.Client) error {
			var g adminapi.Group
			if _, err := client.Do(cmd.Context(), http.MethodPut, groupPath(args[0]), "*", f.change(cmd), &g); err != nil {
				return err
			}
			if f.json {
				return printJSON(cmd.OutOrStdout(), g)
			}
			_, err := fmt.Fprintf(cmd.OutOrStdout(), "added %s\n", g.Address)
			return err
		}),
	}
	f.define(cmd)
	return cmd
}

func groupListCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List groups",
		Args:  cobra.NoArgs,
		RunE: withUsers(func(cmd *cobra.Command, _ []string, client *adminapi.Client) error {
			var list []adminapi.Group
			if err := client.Get(cmd.Context(), "/groups", &list); err != nil {
				return err
			}
			if asJSON {
				return printJSON(cmd.OutOrStdout(), list)
			}
			tw := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
			fmt.Fprintln(tw, "GROUP\tNAME\tMEMBERS")
			for _, g := range list {
				fmt.Fprintf(tw, "%s\t%s\t%d\n", g.Address, g.Name, len(g.Members))
			}
			return tw.Flush()
		}),
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func groupShowCommand() *cobra.Command {
	var asJSON bool
	var expand int
	cmd := &cobra.Command{
		Use:   "show GROUP@DOMAIN",
		Short: "Show a group, or the people in it and in the groups in it",
		Args:  cobra.ExactArgs(1),
		RunE: withUsers(func(cmd *cobra.Command, args []string, client *adminapi.Client) error {
			out := cmd.OutOrStdout()
			if cmd.Flags().Changed("expand") {
				var p adminapi.People
				if err := client.Get(cmd.Context(), fmt.Sprintf("%s/people?max=%d", groupPath(args[0]), expand), &p); err != nil {
					return err
				}
				if asJSON {
					return printJSON(out, p)
				}
				for _, u := range p.Users {
					fmt.Fprintln(out, u)
				}
				if p.More {
					fmt.Fprintf(cmd.ErrOrStderr(), "there are more than %d people in %s\n", expand, args[0])
				}
				return nil
			}
			var g adminapi.Group
			if err := client.Get(cmd.Context(), groupPath(args[0]), &g); err != nil {
				return err
			}
			if asJSON {
				return printJSON(out, g)
			}
			tw := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
			fmt.Fprintf(tw, "group\t%s\nname\t%s\n", g.Address, g.Name)
			if g.Description != "" {
				fmt.Fprintf(tw, "description\t%s\n", g.Description)
			}
			fmt.Fprintf(tw, "members\t%s\n", strings.Join(g.Members, " "))
			fmt.Fprintf(tw, "created\t%s\nchanged\t%s (version %d)\n", g.Created.Local().Format("2006-01-02 15:04:05"),
				g.Changed.Local().Format("2006-01-02 15:04:05"), g.Version)
			return tw.Flush()
		}),
	}
	cmd.Flags().IntVar(&expand, "expand", directory.DefaultExpansion, fmt.Sprintf("list at most so many people, 1 to %d; alone: %d", directory.MaxExpansion, directory.DefaultExpansion))
	cmd.Flags().Lookup("expand").NoOptDefVal = fmt.Sprint(directory.DefaultExpansion)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func groupSetCommand() *cobra.Command {
	var f groupFlags
	var add, remove []string
	cmd := &cobra.Command{
		Use:   "set GROUP@DOMAIN",
		Short: "Change a group's name, description or members",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			change := f.change(cmd)
			change.Add, change.Remove = add, remove
			if reflect.ValueOf(change).IsZero() {
				return errors.New("nothing to change: give --name, --description, --member, --add or --remove")
			}
			client, done, err := userClient(cmd)
			if err != nil {
				return err
			}
			defer done()
			var g adminapi.Group
			// Single members come and go whatever else changes; a whole list is based on what was read.
			tag := "*"
			if change.Members != nil {
				if tag, err = client.Do(cmd.Context(), http.MethodGet, groupPath(args[0]), "", nil, &g); err != nil {
					return err
				}
			}
			if _, err := client.Do(cmd.Context(), http.MethodPatch, groupPath(args[0]), tag, change, &g); err != nil {
				return err
			}
			if f.json {
				return printJSON(cmd.OutOrStdout(), g)
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "changed %s\n", g.Address)
			return err
		},
	}
	f.define(cmd)
	cmd.Flags().StringArrayVar(&add, "add", nil, "address of a member to add; may be repeated")
	cmd.Flags().StringArrayVar(&remove, "remove", nil, "address of a member to take out; may be repeated")
	return cmd
}

func groupRemoveCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "remove GROUP@DOMAIN",
		Short: "Remove a group; its members stay",
		Args:  cobra.ExactArgs(1),
		RunE: withUsers(func(cmd *cobra.Command, args []string, client *adminapi.Client) error {
			if _, err := client.Do(cmd.Context(), http.MethodDelete, groupPath(args[0]), "*", nil, nil); err != nil {
				return err
			}
			_, err := fmt.Fprintf(cmd.OutOrStdout(), "removed %s\n", args[0])
			return err
		}),
	}
}
