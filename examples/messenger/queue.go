package main

import "sync"

// maxQueued bounds, in bytes, what waits for a page that does not keep up.
const maxQueued = 4 << 20

// A queue is what a page is still to be sent, and what it has to do with.
type queue struct {
	mu     sync.Mutex
	more   sync.Cond
	msgs   [][]byte
	size   int
	closed bool
	images map[string]bool // that the page itself has sent
	met    map[string]bool // members that it knows of
}

func newQueue() *queue {
	q := &queue{images: make(map[string]bool), met: make(map[string]bool)}
	q.more.L = &q.mu
	return q
}

// put never waits. It reports false, once, if the message does not fit any
// more; the queue is closed then.
func (q *queue) put(msg []byte) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return true
	}
	if q.size+len(msg) > maxQueued {
		q.closeLocked()
		return false
	}
	q.size += len(msg)
	q.msgs = append(q.msgs, msg)
	q.more.Signal()
	return true
}

// take waits for a message, and reports false after the end.
func (q *queue) take() ([]byte, bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for len(q.msgs) == 0 && !q.closed {
		q.more.Wait()
	}
	if q.closed {
		return nil, false
	}
	msg := q.msgs[0]
	q.msgs = q.msgs[1:]
	q.size -= len(msg)
	return msg, true
}

func (q *queue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closeLocked()
}

func (q *queue) closeLocked() {
	q.closed, q.msgs, q.size = true, nil, 0
	q.more.Signal()
}

func (q *queue) own(image string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.images[image] = true
}

func (q *queue) owns(image string) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.images[image]
}

// meet reports whether the member is new.
func (q *queue) meet(member string) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	known := q.met[member]
	q.met[member] = true
	return !known
}
