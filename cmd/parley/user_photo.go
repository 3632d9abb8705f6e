package main

import (
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"parley/internal/directory"
	"parley/internal/service/adminapi"
)

func userPhotoCommand() *cobra.Command {
	var remove, asJSON bool
	var save string
	cmd := &cobra.Command{
		Use:   "photo USER@DOMAIN [FILE]",
		Short: "Give a user a photo, take it away, or save it to a file",
		Long: fmt.Sprintf(`Give a user a photo, take it away, or save it to a file.

FILE is a JPEG or PNG of at most %d KiB and %d pixels each way. Others see it in search results and on
the contact card.`, directory.MaxPhoto>>10, directory.MaxPhotoSide),
		Example: `  parley user photo alice@example.test alice.jpg
  parley user photo alice@example.test --save copy.jpg
  parley user photo alice@example.test --remove`,
		Args: cobra.RangeArgs(1, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			given := 0
			for _, is := range []bool{len(args) == 2, remove, save != ""} {
				if is {
					given++
				}
			}
			if given != 1 {
				return errors.New("want one of FILE, --remove and --save")
			}
			if save != "" {
				return savePhoto(cmd, args[0], save)
			}
			photo := []byte{}
			if len(args) == 2 {
				st, err := os.Stat(args[1])
				if err != nil {
					return err
				}
				if st.Size() > directory.MaxPhoto {
					return fmt.Errorf("%s has %d bytes, want at most %d: make it smaller first", args[1], st.Size(), directory.MaxPhoto)
				}
				if photo, err = os.ReadFile(args[1]); err != nil {
					return err
				}
				if len(photo) == 0 {
					return fmt.Errorf("%s is empty", args[1])
				}
			}
			return changeUser(cmd, args[0], adminapi.UserChange{Photo: &photo}, asJSON)
		},
	}
	cmd.Flags().BoolVar(&remove, "remove", false, "take the photo away")
	cmd.Flags().StringVar(&save, "save", "", "write the photo to this file, which must not exist")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func savePhoto(cmd *cobra.Command, aor, path string) error {
	client, done, err := userClient(cmd)
	if err != nil {
		return err
	}
	defer done()
	var p adminapi.Photo
	if err := client.Get(cmd.Context(), userPath(aor)+"/photo", &p); err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	if _, err = f.Write(p.Image); err != nil {
		f.Close()
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	_, err = fmt.Fprintf(cmd.OutOrStdout(), "saved %s, %s, %d bytes\n", path, p.Type, len(p.Image))
	return err
}
