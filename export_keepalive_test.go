package walve

import "time"

// sharedTimers returns those for an interval.
func sharedTimers(interval time.Duration) (ts []*keepAliveTimer) {
	all := &keepAliveTimers
	all.Lock()
	defer all.Unlock()
	for key, t := range all.shared {
		if key.half == interval/2 {
			ts = append(ts, t)
		}
	}
	return ts
}

// SharedTimers returns how many timers there are for an interval, and how many
// Conns have one of them.
func SharedTimers(interval time.Duration) (timers, conns int) {
	for _, t := range sharedTimers(interval) {
		timers++
		conns += len(t.conns)
	}
	return timers, conns
}

// RunSharedTimers is what happens half an interval later.
func RunSharedTimers(interval time.Duration) {
	for _, t := range sharedTimers(interval) {
		t.run()
	}
}

// NextSharedTimer returns when, at the latest, they run next.
func NextSharedTimer(interval time.Duration) (d time.Duration) {
	for _, t := range sharedTimers(interval) {
		d = max(d, t.wait())
	}
	return d
}

// SharedTimerWait returns how long a timer of that phase waits at a time, both
// counted from the beginning of a half interval.
func SharedTimerWait(half, phase, now time.Duration) time.Duration {
	t := &keepAliveTimer{timerKey: timerKey{half, phase}}
	return t.waitAt(7*half + now)
}
