package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"reflect"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"parley/internal/node"
	"parley/internal/service/adminapi"
)

func userCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "user",
		Short: "Add, list, show, change, disable, enable and remove users, and give them photos",
		Long: `Add, list, show, change, disable, enable and remove users.

These verbs go to the running server; when it is stopped they work on its data directory.`,
	}
	cmd.AddCommand(userAddCommand(), userListCommand(), userShowCommand(), userSetCommand(), userPhotoCommand(),
		userEnableCommand("disable", "Keep a user from signing in, without removing anything", false),
		userEnableCommand("enable", "Let a disabled user sign in again", true),
		userRemoveCommand())
	return cmd
}

// userClient is a client of the running server, or of the data directory when
// no server runs. close releases either.
func userClient(cmd *cobra.Command) (client *adminapi.Client, close func(), err error) {
	dir := dataDir(cmd)
	client = adminapi.NewClient(dir)
	err = client.Get(cmd.Context(), "/users?max=0", nil)
	if !errors.Is(err, adminapi.ErrNotRunning) {
		return client, client.Close, err
	}
	client.Close()
	off, err := node.OpenOffline(cmd.Context(), dir)
	if err != nil {
		return nil, nil, err
	}
	return adminapi.NewLocalClient(dir, off.Handler()), off.Close, nil
}

// withUsers is a verb that works with a client of userClient.
func withUsers(run func(cmd *cobra.Command, args []string, client *adminapi.Client) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		client, done, err := userClient(cmd)
		if err != nil {
			return err
		}
		defer done()
		return run(cmd, args, client)
	}
}

func userPath(aor string) string { return "/users/" + url.PathEscape(aor) }

// userFlags are what add and set have in common.
type userFlags struct {
	name          string
	phones        []string
	aliases       []string
	policy        []string
	role          string
	card          map[string]*string // by the name of its flag
	passwordStdin bool
	json          bool
}

func (f *userFlags) define(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.name, "name", "", `display name, such as "Alice Example"`)
	cmd.Flags().StringArrayVar(&f.phones, "phone", nil, "phone number, such as tel:+15550100; may be repeated; an empty one removes all")
	cmd.Flags().StringArrayVar(&f.aliases, "alias", nil, "further address, such as a.example@example.test; may be repeated; an empty one removes all")
	f.card = map[string]*string{}
	for _, c := range card {
		f.card[c.flag] = cmd.Flags().String(c.flag, "", c.doc)
	}
	cmd.Flags().StringArrayVar(&f.policy, "policy", nil, "policy as KEY=VALUE; may be repeated")
	cmd.Flags().StringVar(&f.role, "role", "", "what the user may do on the administration pages: administrator, helpdesk, viewer or none")
	cmd.Flags().BoolVar(&f.passwordStdin, "password-stdin", false, "read the password from standard input: its first line")
	cmd.Flags().BoolVar(&f.json, "json", false, "print JSON")
}

// card are the flags of the business card with the names of directory.Profile.
var card = []struct{ flag, name, doc string }{
	{"given-name", "givenName", "given name"},
	{"surname", "sn", "surname"},
	{"title", "title", "job title"},
	{"department", "department", "department"},
	{"company", "company", "company"},
	{"office", "physicalDeliveryOfficeName", "office, such as a room"},
	{"mail", "mail", "mail address, when it is not the SIP address"},
	{"work-phone", "telephoneNumber", "work number as shown to others, when it is not the first --phone"},
	{"home-phone", "homePhone", "home number as shown to others"},
	{"mobile", "mobile", "mobile number as shown to others"},
	{"other-phone", "otherTelephone", "another number as shown to others"},
	{"street", "streetAddress", "street"},
	{"city", "l", "city"},
	{"state", "st", "state or province"},
	{"postal-code", "postalCode", "postal code"},
	{"country", "c", "country"},
}

// change is what was said on the command line and nothing else.
func (f *userFlags) change(cmd *cobra.Command) (adminapi.UserChange, error) {
	var c adminapi.UserChange
	if cmd.Flags().Changed("name") {
		c.Name = &f.name
	}
	if cmd.Flags().Changed("phone") {
		c.Phones = notEmpty(f.phones)
	}
	if cmd.Flags().Changed("alias") {
		c.Aliases = notEmpty(f.aliases)
	}
	for _, field := range card {
		if cmd.Flags().Changed(field.flag) {
			if c.Profile == nil {
				c.Profile = map[string]string{}
			}
			c.Profile[field.name] = *f.card[field.flag]
		}
	}
	if cmd.Flags().Changed("policy") {
		c.Policy = map[string]json.RawMessage{}
		for _, kv := range f.policy {
			k, v, ok := strings.Cut(kv, "=")
			if !ok {
				return c, fmt.Errorf("--policy %q: want KEY=VALUE with true, false, a number or a name", kv)
			}
			value := json.RawMessage(v)
			if !json.Valid(value) { // a name, such as that of a pool
				value, _ = json.Marshal(v)
			}
			c.Policy[k] = value
		}
	}
	if cmd.Flags().Changed("role") {
		role := strings.ToLower(f.role)
		if role == "none" {
			role = ""
		}
		c.Role = &role
	}
	if f.passwordStdin {
		p, err := readPassword(cmd.InOrStdin())
		if err != nil {
			return c, err
		}
		c.Password = &p
	}
	return c, nil
}

func notEmpty(list []string) *[]string {
	out := []string{}
	for _, s := range list {
		if s != "" {
			out = append(out, s)
		}
	}
	return &out
}

// readPassword reads the first line. Passwords are never arguments: those are
// visible to every account of the machine.
func readPassword(r io.Reader) (string, error) {
	if f, ok := r.(*os.File); ok {
		if st, err := f.Stat(); err == nil && st.Mode()&os.ModeCharDevice != 0 {
			fmt.Fprint(os.Stderr, "Password (shown while typed): ")
		}
	}
	line, err := bufio.NewReader(io.LimitReader(r, 4096)).ReadString('\n')
	if err != nil && err != io.EOF {
		return "", fmt.Errorf("read the password: %w", err)
	}
	line = strings.TrimRight(line, "\r\n")
	if line == "" {
		return "", errors.New("the password on standard input is empty")
	}
	return line, nil
}

func userAddCommand() *cobra.Command {
	var f userFlags
	cmd := &cobra.Command{
		Use:     "add USER@DOMAIN",
		Short:   "Add a user",
		Example: `  echo 'correct horse battery' | parley user add alice@example.test --password-stdin --name "Alice" --phone tel:+15550100`,
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			change, err := f.change(cmd)
			if err != nil {
				return err
			}
			client, done, err := userClient(cmd)
			if err != nil {
				return err
			}
			defer done()
			var u adminapi.User
			if _, err := client.Do(cmd.Context(), http.MethodPut, userPath(args[0]), "*", change, &u); err != nil {
				return err
			}
			if f.json {
				return printJSON(cmd.OutOrStdout(), u)
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "added %s\n", u.AOR)
			if err == nil && change.Password == nil {
				fmt.Fprintf(cmd.ErrOrStderr(), "%s cannot sign in yet: give a password with parley user set %s --password-stdin\n", u.AOR, u.AOR)
			}
			return err
		},
	}
	f.define(cmd)
	return cmd
}

func userListCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List users",
		Args:  cobra.NoArgs,
		RunE: withUsers(func(cmd *cobra.Command, _ []string, client *adminapi.Client) error {
			var list []adminapi.User
			if err := client.Get(cmd.Context(), "/users", &list); err != nil {
				return err
			}
			if asJSON {
				return printJSON(cmd.OutOrStdout(), list)
			}
			tw := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
			fmt.Fprintln(tw, "USER\tNAME\tPHONES\tSTATE")
			for _, u := range list {
				fmt.Fprintf(tw, "%s\t%s\t%s\t%s\n", u.AOR, u.Name, strings.Join(u.Phones, " "), userState(u))
			}
			return tw.Flush()
		}),
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func userState(u adminapi.User) string {
	if u.Enabled {
		return "enabled"
	}
	return "disabled"
}

func userShowCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "show USER@DOMAIN",
		Short: "Show a user",
		Args:  cobra.ExactArgs(1),
		RunE: withUsers(func(cmd *cobra.Command, args []string, client *adminapi.Client) error {
			var u adminapi.User
			if err := client.Get(cmd.Context(), userPath(args[0]), &u); err != nil {
				return err
			}
			return printUser(cmd.OutOrStdout(), u, asJSON)
		}),
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func printUser(w io.Writer, u adminapi.User, asJSON bool) error {
	if asJSON {
		return printJSON(w, u)
	}
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(tw, "user\t%s\nname\t%s\nphones\t%s\nstate\t%s\n", u.AOR, u.Name, strings.Join(u.Phones, " "), userState(u))
	if u.Role != "" {
		fmt.Fprintf(tw, "role\t%s\n", u.Role)
	}
	if len(u.Aliases) > 0 {
		fmt.Fprintf(tw, "aliases\t%s\n", strings.Join(u.Aliases, " "))
	}
	said, err := json.Marshal(u.Profile)
	if err != nil {
		return err
	}
	var fields map[string]string
	if err := json.Unmarshal(said, &fields); err != nil {
		return err
	}
	for _, c := range card {
		if v := fields[c.name]; v != "" {
			fmt.Fprintf(tw, "%s\t%s\n", strings.ReplaceAll(c.flag, "-", " "), v)
		}
	}
	if u.PhotoSize > 0 {
		fmt.Fprintf(tw, "photo\t%d bytes\n", u.PhotoSize)
	}
	if u.Source != "" {
		fmt.Fprintf(tw, "kept in\t%s: change name, numbers and password there\n", u.Source)
	} else if !u.HasPassword {
		fmt.Fprintln(tw, "password\tnone: cannot sign in")
	}
	policy, err := json.Marshal(u.Policy)
	if err != nil {
		return err
	}
	fmt.Fprintf(tw, "policy\t%s\n", strings.NewReplacer(`""`, "-", `"`, "", ":", "=", ",", " ", "{", "", "}", "").Replace(string(policy)))
	fmt.Fprintf(tw, "created\t%s\nchanged\t%s (version %d)\n", u.Created.Local().Format("2006-01-02 15:04:05"),
		u.Changed.Local().Format("2006-01-02 15:04:05"), u.Version)
	return tw.Flush()
}

func userSetCommand() *cobra.Command {
	var f userFlags
	cmd := &cobra.Command{
		Use:   "set USER@DOMAIN",
		Short: "Change a user's name, phones, business card, policy, administrative role or password",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			change, err := f.change(cmd)
			if err != nil {
				return err
			}
			if reflect.ValueOf(change).IsZero() {
				return errors.New("nothing to change: give --name, --phone, --title and the like, --policy, --role or --password-stdin")
			}
			return changeUser(cmd, args[0], change, f.json)
		},
	}
	f.define(cmd)
	return cmd
}

func userEnableCommand(verb, short string, enabled bool) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   verb + " USER@DOMAIN",
		Short: short,
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return changeUser(cmd, args[0], adminapi.UserChange{Enabled: &enabled}, asJSON)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

// changeUser applies a change on top of the version it read, so that two
// administrators do not overwrite each other unseen.
func changeUser(cmd *cobra.Command, aor string, change adminapi.UserChange, asJSON bool) error {
	client, done, err := userClient(cmd)
	if err != nil {
		return err
	}
	defer done()
	var u adminapi.User
	tag, err := client.Do(cmd.Context(), http.MethodGet, userPath(aor), "", nil, &u)
	if err != nil {
		return err
	}
	if _, err := client.Do(cmd.Context(), http.MethodPatch, userPath(aor), tag, change, &u); err != nil {
		return err
	}
	if asJSON {
		return printJSON(cmd.OutOrStdout(), u)
	}
	_, err = fmt.Fprintf(cmd.OutOrStdout(), "changed %s\n", u.AOR)
	return err
}

func userRemoveCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "remove USER@DOMAIN",
		Short: "Remove a user and everything that belongs to it",
		Args:  cobra.ExactArgs(1),
		RunE: withUsers(func(cmd *cobra.Command, args []string, client *adminapi.Client) error {
			var u adminapi.User
			tag, err := client.Do(cmd.Context(), http.MethodGet, userPath(args[0]), "", nil, &u)
			if err != nil {
				return err
			}
			if _, err := client.Do(cmd.Context(), http.MethodDelete, userPath(args[0]), tag, nil, nil); err != nil {
				return err
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "removed %s\n", u.AOR)
			return err
		}),
	}
	return cmd
}
