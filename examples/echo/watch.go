package main

import (
	"encoding/hex"
	"net/http"
	"sync"
	"time"

	"github.com/bodokaiser/walve"
	"github.com/bodokaiser/walve/examples/internal/page"
)

// watchers are connections of pages that watch the frames of another
// connection: a browser shows no page the frames that it sends and receives.
type watchers struct{ m sync.Map } // from id to *walve.Conn

// handle upgrades a connection of a watcher, which lasts until it ends.
func (ws *watchers) handle(w http.ResponseWriter, r *http.Request) {
	c, err := walve.Upgrade(w, r)
	if err != nil {
		return
	}
	defer c.Close()
	id := r.FormValue("id")
	if _, taken := ws.m.LoadOrStore(id, c); taken {
		c.CloseWithStatus(walve.StatusPolicyViolation, "somebody watches that already")
		return
	}
	defer ws.m.Delete(id)
	if err := page.WriteJSON(c, "ready"); err != nil {
		return
	}
	end := make(chan struct{})
	go func() {
		c.ReadMessage() // says nothing; returns at the end
		close(end)
	}()
	select {
	case <-end:
	case <-r.Context().Done():
		c.CloseWithStatus(walve.StatusGoingAway, "")
	}
}

// of returns what tells the watcher with the given id, if there is one, of a
// frame.
func (ws *watchers) of(id string) func(direction string, h walve.Header) {
	return func(direction string, h walve.Header) {
		c, ok := ws.m.Load(id)
		if !ok {
			return
		}
		key := ""
		if h.Masked {
			key = hex.EncodeToString(h.MaskKey[:])
		}
		// One that does not read is left alone, not waited for.
		watcher := c.(*walve.Conn)
		watcher.SetWriteDeadline(time.Now().Add(time.Second))
		if page.WriteJSON(watcher, map[string]any{
			"direction": direction, "opcode": h.Opcode.String(), "fin": h.Fin, "key": key, "length": h.Length,
		}) != nil {
			watcher.Close()
		}
	}
}
