package main

import "sync/atomic"

// meter counts what comes in and tells when all that was expected has.
type meter struct {
	total, target atomic.Int64
	reached       chan struct{}
}

func newMeter() *meter { return &meter{reached: make(chan struct{}, 1)} }

func (m *meter) add(n int) {
	if m.total.Add(int64(n)) >= m.target.Load() {
		select {
		case m.reached <- struct{}{}:
		default:
		}
	}
}

// expect raises what wait waits for by n.
func (m *meter) expect(n int64) { m.target.Add(n) }

func (m *meter) wait(failed <-chan error) error {
	for m.total.Load() < m.target.Load() {
		select {
		case <-m.reached:
		case err := <-failed:
			return err
		}
	}
	return nil
}
