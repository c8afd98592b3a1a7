package main

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"strings"
	"time"
	"unicode/utf8"
)

// What goes over NATS and over WebSockets is one of two things: an event as
// JSON, or a part of an image behind the image's ID. The first byte tells: an
// event begins with a brace, and no ID does.

// An event is what happens in a room, or has happened. Type says what of it has
// a meaning:
//
//	text    ID From Name Time Text
//	image   ID From Name Time Title MIME Size Thumbnail; its parts follow
//	cancel  ID            of an image that will not be complete
//	here    From Name     again and again, so that who is silent has gone
//	left    From
//
// and, between a page and its server only,
//
//	you       From        who the page is; comes first
//	progress  ID Size     how much of its image has gone to everybody
//	rooms     Rooms       that have a history
type event struct {
	Type string    `json:"type"`
	ID   string    `json:"id,omitempty"`
	From string    `json:"from,omitempty"` // ID of a member
	Name string    `json:"name,omitempty"`
	Time time.Time `json:"time,omitzero"`
	Text string    `json:"text,omitempty"`

	Title     string `json:"title,omitempty"`
	MIME      string `json:"mime,omitempty"`
	Size      int64  `json:"size,omitempty"`
	Thumbnail string `json:"thumbnail,omitempty"` // a data URL

	Past  bool     `json:"past,omitempty"` // from the history
	Rooms []string `json:"rooms,omitempty"`
}

const (
	idSize       = 8
	maxText      = 4 << 10
	maxThumbnail = 16 << 10
	maxImage     = 32 << 20
)

// imageTypes are those that a browser shows and that hold no scripts.
var imageTypes = map[string]bool{"image/png": true, "image/jpeg": true, "image/gif": true, "image/webp": true, "image/avif": true}

// check checks what a page has sent.
func (e *event) check() error {
	switch {
	case e.Type == "text" && e.Text != "" && len(e.Text) <= maxText:
	case e.Type == "image" && e.Text == "" && imageTypes[e.MIME] && e.Size > 0 && e.Size <= maxImage && len(e.Title) <= 256 &&
		validThumbnail(e.Thumbnail) && len(e.Thumbnail) <= maxThumbnail:
	default:
		return errors.New("no text or image, or too large")
	}
	return nil
}

// validThumbnail keeps out, above all, what JSON makes six times as long.
func validThumbnail(s string) bool {
	data, ok := strings.CutPrefix(s, "data:image/jpeg;base64,")
	_, err := base64.StdEncoding.DecodeString(data)
	return s == "" || ok && err == nil
}

func (e event) encode() []byte {
	msg, _ := json.Marshal(e) // nothing in it can fail
	return msg
}

// newID returns a random ID, which in binary does not begin with a brace.
func newID() string {
	var id [idSize]byte
	rand.Read(id[:])
	id[0] &= 0x3f
	return hex.EncodeToString(id[:])
}

// partID returns the ID of the image that msg is a part of, if it is one.
func partID(msg []byte) (id string, ok bool) {
	if len(msg) < idSize || msg[0] == '{' {
		return "", false
	}
	return hex.EncodeToString(msg[:idSize]), true
}

// valid says whether s can be a name, or that of a room.
func valid(s string) bool {
	n := utf8.RuneCountInString(s)
	return utf8.ValidString(s) && n > 0 && n <= 32
}

const subjects = "messenger."

// subject is that of a room, whose name may have what a subject may not.
func subject(room string) string { return subjects + hex.EncodeToString([]byte(room)) }

func roomOf(subject string) string {
	name, _ := hex.DecodeString(strings.TrimPrefix(subject, subjects))
	return string(name)
}
