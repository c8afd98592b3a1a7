package main

import (
	"encoding/json"
	"fmt"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/bodokaiser/walve"
	"github.com/bodokaiser/walve/examples/internal/page"
)

// writeTimeout is when a page that takes nothing is given up.
const writeTimeout = 10 * time.Second

// place is where somebody is: what a page sends, without ID, and gets.
type place struct {
	ID   int     `json:"id"`
	Name string  `json:"name,omitempty"`
	Lat  float64 `json:"lat"` // degrees, north is positive
	Lon  float64 `json:"lon"` // degrees, east is positive
	Gone bool    `json:"gone,omitempty"`
	You  bool    `json:"you,omitempty"`
}

func (p place) check() error {
	// NaN, which JSON has not, would pass.
	if p.Lat < -90 || p.Lat > 90 || p.Lon < -180 || p.Lon > 180 {
		return fmt.Errorf("%v, %v is not on earth", p.Lat, p.Lon)
	}
	if n := utf8.RuneCountInString(p.Name); n == 0 || n > 24 {
		return fmt.Errorf("a name of %d characters", n)
	}
	return nil
}

// A hub knows where everybody is.
type hub struct {
	mu     sync.Mutex
	lastID int
	pages  map[*viewer]bool
}

// A viewer is a page. What it has not been told yet is kept once for each of
// the others, not once for each of their moves: one that is slow sees less, and
// holds up nobody.
type viewer struct {
	id    int
	at    *place        // guarded by hub.mu, as is news; nil: not known yet
	news  map[int]place // by ID
	nudge chan struct{} // has a place for one
}

func newHub() *hub { return &hub{pages: make(map[*viewer]bool)} }

// serve serves one page until its connection ends.
func (h *hub) serve(c *walve.Conn) {
	v := h.join()
	defer h.leave(v)
	done := make(chan struct{})
	defer close(done)
	go func() {
		if v.write(h, c, done) != nil {
			c.Close()
		}
	}()
	for {
		_, msg, err := c.ReadMessage()
		if err != nil {
			return
		}
		var p place
		err = json.Unmarshal(msg, &p)
		if err == nil {
			err = p.check()
		}
		if err != nil {
			c.CloseWithStatus(walve.StatusPolicyViolation, fmt.Sprintf("%.100s", err))
			return
		}
		p.ID, p.Gone, p.You = v.id, false, false
		h.move(v, p)
	}
}

// write tells the page what is new until done.
func (v *viewer) write(h *hub, c *walve.Conn, done <-chan struct{}) error {
	for {
		select {
		case <-done:
			return nil
		case <-v.nudge:
		}
		c.SetWriteDeadline(time.Now().Add(writeTimeout))
		if err := page.WriteJSON(c, h.take(v)); err != nil {
			return err
		}
	}
}

func (h *hub) join() *viewer {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.lastID++
	v := &viewer{id: h.lastID, news: make(map[int]place), nudge: make(chan struct{}, 1)}
	for other := range h.pages {
		if other.at != nil {
			v.tell(*other.at)
		}
	}
	h.pages[v] = true
	return v
}

func (h *hub) leave(v *viewer) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.pages, v)
	h.tellAll(place{ID: v.id, Gone: true})
}

func (h *hub) move(v *viewer, p place) {
	h.mu.Lock()
	defer h.mu.Unlock()
	v.at = &p
	h.tellAll(p)
}

func (h *hub) tellAll(p place) {
	for v := range h.pages {
		p.You = v.id == p.ID
		v.tell(p)
	}
}

func (v *viewer) tell(p place) {
	v.news[p.ID] = p
	select {
	case v.nudge <- struct{}{}:
	default: // it knows
	}
}

// take returns what v has not been told, and holds that for told.
func (h *hub) take(v *viewer) []place {
	h.mu.Lock()
	defer h.mu.Unlock()
	places := make([]place, 0, len(v.news))
	for _, p := range v.news {
		places = append(places, p)
	}
	clear(v.news)
	return places
}
