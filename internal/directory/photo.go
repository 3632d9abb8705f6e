package directory

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"image"
	_ "image/jpeg" // what clients show
	_ "image/png"
	"time"

	"parley/internal/store"
	"parley/internal/uc"
)

// Limits of a photo.
const (
	MaxPhoto     = 100 << 10 // bytes; Active Directory's thumbnailPhoto has no more
	MaxPhotoSide = 2048      // pixels
)

// Photo is the picture of a user.
type Photo struct {
	Type  string // "image/jpeg" or "image/png"
	Image []byte
}

// ParsePhoto checks a picture by its header and returns it with its type. What it
// refuses is *Invalid.
func ParsePhoto(b []byte) (*Photo, error) {
	if len(b) > MaxPhoto {
		return nil, invalid("photo", "the photo has %d bytes, want at most %d", len(b), MaxPhoto)
	}
	c, format, err := image.DecodeConfig(bytes.NewReader(b))
	if err != nil {
		return nil, invalid("photo", "the photo is neither JPEG nor PNG")
	}
	if c.Width < 1 || c.Height < 1 || c.Width > MaxPhotoSide || c.Height > MaxPhotoSide {
		return nil, invalid("photo", "the photo is %d by %d pixels, want at most %d each way", c.Width, c.Height, MaxPhotoSide)
	}
	return &Photo{Type: "image/" + format, Image: b}, nil
}

// SetPhoto gives a user a photo, JPEG or PNG, or takes it away when b is empty.
// aor may be an alias; version as in Change. A photo that is there already is no
// change.
func (d *Directory) SetPhoto(ctx context.Context, aor uc.AOR, b []byte, version int64) (*User, error) {
	u, ok := d.Lookup(aor)
	if !ok {
		return nil, store.ErrNotFound
	}
	if err := d.foreign(aor, "photo"); err != nil {
		return nil, err
	}
	return d.setPhoto(ctx, u, b, version)
}

func (d *Directory) setPhoto(ctx context.Context, u *User, b []byte, version int64) (*User, error) {
	var p *Photo
	hash := ""
	if len(b) > 0 {
		var err error
		if p, err = ParsePhoto(b); err != nil {
			return nil, err
		}
		sum := sha256.Sum256(b)
		hash = hex.EncodeToString(sum[:16])
	}
	if hash == u.PhotoHash && (version == 0 || version == u.Version) {
		return u, nil
	}
	err := d.write(ctx, func(tx *store.Tx, revision int64) error {
		if _, err := d.readForUpdate(ctx, tx, u.ID, version); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, `DELETE FROM directory_photo WHERE user_id = $1`, u.ID); err != nil {
			return err
		}
		if p != nil {
			if _, err := tx.Exec(ctx, `INSERT INTO directory_photo (user_id, type, image) VALUES ($1, $2, $3)`, u.ID, p.Type, p.Image); err != nil {
				return err
			}
		}
		return store.Change(ctx, tx, `UPDATE directory_user SET photo_hash = $1, photo_size = $2, version = version + 1, revision = $3, changed = $4
			WHERE id = $5`, hash, int64(len(b)), revision, store.Micros(time.Now()), u.ID)
	})
	if err != nil {
		return nil, err
	}
	return d.current(ctx, u.ID)
}

// PhotoName is what the photo of a user is called on the web, empty without one.
// Nobody can guess it who has not been told or has the picture: clients fetch
// the photo of a contact card without credentials.
func (u *User) PhotoName() string {
	if u.PhotoHash == "" {
		return ""
	}
	return u.ID + "." + u.PhotoHash
}

// Photo reads the photo of a user from the store: store.ErrNotFound when there is
// none. Unlike the lookups it waits for the store.
func (d *Directory) Photo(ctx context.Context, userID string) (*Photo, error) {
	p := new(Photo)
	err := d.db.QueryRow(ctx, `SELECT type, image FROM directory_photo WHERE user_id = $1`, userID).Scan(&p.Type, &p.Image)
	if err != nil {
		return nil, err
	}
	return p, nil
}
