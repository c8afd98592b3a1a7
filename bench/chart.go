package main

import (
	"fmt"
	"image/color"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/plotutil"
	"gonum.org/v1/plot/vg"
)

// chart is a metric of the scenarios of a group.
type chart struct {
	name    string // of the file
	title   string
	more    bool // is better
	results []*Result
	metric  int
}

// charts groups what results have to show: the first metric, and those that
// are marked.
func charts(results []*Result) []*chart {
	var all []*chart
	for _, r := range results {
		for i, m := range r.Scenario.Metrics {
			if !m.Ratio || i > 0 && !m.Chart {
				continue
			}
			name := r.Scenario.Group
			if i > 0 {
				name = fmt.Sprintf("%s-%d", name, i+1)
			}
			k := slices.IndexFunc(all, func(c *chart) bool { return c.name == name })
			if k < 0 {
				all = append(all, &chart{name: name, title: chartTitle(r, m), more: m.More, metric: i})
				k = len(all) - 1
			}
			all[k].results = append(all[k].results, r)
		}
	}
	return all
}

func chartTitle(r *Result, m Metric) string {
	name := m.Name
	if r.Scenario.Group == "bulk" || r.Scenario.Group == "wss-bulk" {
		name = strings.TrimPrefix(strings.TrimPrefix(name, "server "), "client ")
	}
	better := "less is better"
	if m.More {
		better = "more is better"
	}
	return fmt.Sprintf("%s: %s as a ratio to raw %s, %s", r.Scenario.Group, name, strings.ToUpper(r.rawName()), better)
}

// writeCharts writes an SVG file for each chart into dir.
func writeCharts(dir string, results []*Result) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for _, c := range charts(results) {
		p, width, err := c.plot()
		if err != nil {
			return fmt.Errorf("chart %s: %w", c.name, err)
		}
		if err := p.Save(width, 9*vg.Centimeter, filepath.Join(dir, c.name+".svg")); err != nil {
			return fmt.Errorf("chart %s: %w", c.name, err)
		}
	}
	return nil
}

// plot draws a group of bars for each scenario, in which a peer has the same
// place and colour throughout. Raw TCP is the line at 1.
func (c *chart) plot() (*plot.Plot, vg.Length, error) {
	var shown []*Peer
	for _, p := range peers {
		if !p.Raw && slices.ContainsFunc(c.results, func(r *Result) bool { return r.row(p) != nil }) {
			shown = append(shown, p)
		}
	}
	p := plot.New()
	p.Title.Text = c.title
	p.Y.Min = 0
	p.Legend.Top = true
	p.Legend.Left = false
	p.Add(plotter.NewGrid())

	const bar = 9 // points
	for i, peer := range shown {
		values := make(plotter.Values, len(c.results))
		for k, r := range c.results {
			if row := r.row(peer); row != nil {
				values[k] = row.Cells[c.metric].Ratio.Median
			}
		}
		b, err := plotter.NewBarChart(values, vg.Points(bar))
		if err != nil {
			return nil, 0, err
		}
		b.Color = peerColor(peer)
		b.LineStyle.Width = 0
		b.Offset = vg.Points(bar * (float64(i) - float64(len(shown)-1)/2))
		p.Add(b)
		p.Legend.Add(peer.Name, b)
	}
	one := plotter.NewFunction(func(float64) float64 { return 1 })
	one.Color = color.Black
	one.Dashes = plotutil.Dashes(1)
	p.Add(one)

	labels := make([]string, len(c.results))
	for k, r := range c.results {
		labels[k] = r.Scenario.Label
	}
	p.NominalX(labels...)
	group := float64(bar*len(shown)) + 24
	width := vg.Points(group*float64(len(labels)) + 60)
	// Room for the legend, right of the bars.
	p.X.Max = float64(len(labels)) - 0.5 + 110/group
	p.X.Min = -0.5
	width += vg.Points(110)
	return p, max(width, 16*vg.Centimeter), nil
}

func (r *Result) row(p *Peer) *Row {
	for _, row := range r.Rows {
		if row.Peer == p {
			return row
		}
	}
	return nil
}

// peerColor is the same in all charts. walve's stands out.
func peerColor(p *Peer) color.Color {
	if strings.HasPrefix(p.Name, "walve") {
		shade := uint8(0)
		if p != walvePeer {
			shade = 120
		}
		return color.RGBA{R: 200, G: shade, B: shade, A: 255}
	}
	gray := []color.RGBA{
		{31, 119, 180, 255}, {255, 127, 14, 255}, {44, 160, 44, 255}, {148, 103, 189, 255}, {140, 86, 75, 255},
		{227, 119, 194, 255}, {127, 127, 127, 255}, {188, 189, 34, 255}, {23, 190, 207, 255}, {57, 59, 121, 255},
	}
	others := slices.DeleteFunc(slices.Clone(peers), func(p *Peer) bool {
		return p.Raw || strings.HasPrefix(p.Name, "walve")
	})
	return gray[slices.Index(others, p)%len(gray)]
}
