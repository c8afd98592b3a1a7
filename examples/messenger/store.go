package main

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"net/http"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"go.etcd.io/bbolt"
)

// maxHistory is how many messages of a room are kept.
const maxHistory = 100

// A store keeps the last messages of every room:
//
//	rooms/ROOM/NUMBER     an event
//	images/ID/NUMBER      a part of an image
type store struct{ db *bbolt.DB }

var roomsBucket, imagesBucket = []byte("rooms"), []byte("images")

func openStore(path string) (*store, error) {
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{Timeout: time.Second})
	if err != nil {
		return nil, fmt.Errorf("%s: %w (is another messenger using it? see -store)", path, err)
	}
	// A power failure may cost the last messages, and in return storing does
	// not wait for the disk.
	db.NoSync = true
	err = db.Update(func(tx *bbolt.Tx) error {
		for _, name := range [][]byte{roomsBucket, imagesBucket} {
			if _, err := tx.CreateBucketIfNotExists(name); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		db.Close()
		return nil, err
	}
	return &store{db}, nil
}

func (s *store) close() error {
	return errors.Join(s.db.Sync(), s.db.Close())
}

// record stores what happens in all rooms, also in those without a member here.
func (s *store) record(nc *nats.Conn) error {
	_, err := nc.Subscribe(subjects+"*", func(msg *nats.Msg) {
		if err := s.add(roomOf(msg.Subject), msg.Data); err != nil {
			log.Print("messenger: history: ", err)
		}
	})
	return err
}

func (s *store) add(room string, msg []byte) error {
	if id, ok := partID(msg); ok {
		return s.db.Update(func(tx *bbolt.Tx) error {
			parts := tx.Bucket(imagesBucket).Bucket([]byte(id))
			if parts == nil {
				return nil // its image was not seen
			}
			_, err := appendTo(parts, msg[idSize:])
			return err
		})
	}
	var e event
	if json.Unmarshal(msg, &e) != nil || e.Type != "text" && e.Type != "image" {
		return nil
	}
	return s.db.Update(func(tx *bbolt.Tx) error {
		messages, err := tx.Bucket(roomsBucket).CreateBucketIfNotExists([]byte(room))
		if err != nil {
			return err
		}
		if e.Type == "image" {
			if _, err := tx.Bucket(imagesBucket).CreateBucketIfNotExists([]byte(e.ID)); err != nil {
				return err
			}
		}
		n, err := appendTo(messages, msg)
		if err != nil || n <= maxHistory {
			return err
		}
		return forget(tx, messages, n-maxHistory)
	})
}

// forget removes a message and its image, if it has one.
func forget(tx *bbolt.Tx, messages *bbolt.Bucket, n uint64) error {
	var e event
	if old := messages.Get(key(n)); old != nil && json.Unmarshal(old, &e) == nil && e.Type == "image" {
		if err := tx.Bucket(imagesBucket).DeleteBucket([]byte(e.ID)); err != nil {
			return err
		}
	}
	return messages.Delete(key(n))
}

// appendTo puts a value behind all others and returns its number.
func appendTo(b *bbolt.Bucket, value []byte) (uint64, error) {
	n, err := b.NextSequence()
	if err != nil {
		return 0, err
	}
	return n, b.Put(key(n), value)
}

func key(n uint64) []byte { return binary.BigEndian.AppendUint64(nil, n) }

// read returns the names of all rooms and what has happened in one.
func (s *store) read(room string) (rooms []string, history []event) {
	err := s.db.View(func(tx *bbolt.Tx) error {
		all := tx.Bucket(roomsBucket)
		all.ForEachBucket(func(name []byte) error {
			rooms = append(rooms, string(name))
			return nil
		})
		if messages := all.Bucket([]byte(room)); messages != nil {
			return messages.ForEach(func(_, msg []byte) error {
				e := event{}
				err := json.Unmarshal(msg, &e)
				e.Past = true
				history = append(history, e)
				return err
			})
		}
		return nil
	})
	if err != nil {
		log.Print("messenger: history: ", err)
	}
	return rooms, history
}

// serveImage answers with an image of the history, or 404 while parts are
// missing.
func (s *store) serveImage(w http.ResponseWriter, r *http.Request) {
	id, mime := r.PathValue("id"), r.FormValue("type")
	size, err := strconv.Atoi(r.FormValue("size"))
	if err != nil || !imageTypes[mime] || s.imageSize(id) != size {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Type", mime)
	w.Header().Set("Content-Length", strconv.Itoa(size))
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Header().Set("Content-Security-Policy", "sandbox; default-src 'none'")
	// A transaction a part: one that lasts as long as a slow download keeps
	// the file growing.
	for n, sent := uint64(1), 0; sent < size; n++ {
		var part []byte
		s.db.View(func(tx *bbolt.Tx) error {
			if parts := tx.Bucket(imagesBucket).Bucket([]byte(id)); parts != nil {
				part = append(part, parts.Get(key(n))...)
			}
			return nil
		})
		if _, err := w.Write(part); err != nil || part == nil {
			return
		}
		sent += len(part)
	}
}

// imageSize returns how many bytes of an image there are.
func (s *store) imageSize(id string) (size int) {
	s.db.View(func(tx *bbolt.Tx) error {
		if parts := tx.Bucket(imagesBucket).Bucket([]byte(id)); parts != nil {
			return parts.ForEach(func(_, part []byte) error {
				size += len(part)
				return nil
			})
		}
		return nil
	})
	return size
}
