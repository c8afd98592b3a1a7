package main

import (
	"math"
	"slices"
)

// Result is what a scenario gave.
type Result struct {
	Scenario *Scenario
	Rows     []*Row
	LeftOut  []LeftOut
}

// Row is a peer's part of a Result.
type Row struct {
	Peer    *Peer
	Samples []*Measurement // by repetition; nil: it failed
	Cells   []Cell         // by metric of the scenario
	Errors  []string
}

// LeftOut is a peer that has no part in a scenario.
type LeftOut struct {
	Peer   string `json:"peer"`
	Reason string `json:"reason"`
}

// Cell is a metric of a row, over the repetitions.
type Cell struct {
	Value Stat
	Ratio Stat // to raw TCP, or TLS, in the same repetition; N == 0: none
}

// Stat is the middle and the spread of some values.
type Stat struct {
	N      int       `json:"n"`
	Median float64   `json:"median"`
	Min    float64   `json:"min"`
	Max    float64   `json:"max"`
	Values []float64 `json:"values"`
}

// newStat leaves out what is not a number: a ratio to 0.
func newStat(values []float64) Stat {
	values = slices.DeleteFunc(slices.Clone(values), func(v float64) bool { return math.IsNaN(v) || math.IsInf(v, 0) })
	s := Stat{N: len(values), Values: values}
	if s.N == 0 {
		return s
	}
	sorted := slices.Sorted(slices.Values(values))
	s.Min, s.Max = sorted[0], sorted[s.N-1]
	s.Median = (sorted[(s.N-1)/2] + sorted[s.N/2]) / 2
	return s
}

// Spread is half the distance of the extremes as a part of the median.
func (s Stat) Spread() float64 {
	if s.Median == 0 {
		return 0
	}
	return (s.Max - s.Min) / 2 / s.Median
}

// compute fills in the cells of all rows.
func (r *Result) compute() {
	var raw *Row
	for _, row := range r.Rows {
		if row.Peer.Raw {
			raw = row
		}
	}
	for _, row := range r.Rows {
		row.Cells = nil
		for _, m := range r.Scenario.Metrics {
			var values, ratios []float64
			for i, sample := range row.Samples {
				if sample == nil {
					continue
				}
				v := m.Of(sample)
				values = append(values, v)
				if m.Ratio && raw != nil && raw.Samples[i] != nil {
					ratios = append(ratios, v/m.Of(raw.Samples[i]))
				}
			}
			row.Cells = append(row.Cells, Cell{Value: newStat(values), Ratio: newStat(ratios)})
		}
	}
}
