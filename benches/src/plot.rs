//! The shape of what a log costs as it grows, as a picture.

use std::collections::BTreeMap;

use plotters::prelude::*;

use crate::Failure;
use crate::measures::{SHORT_LOG, growth_lines};
use crate::report::Found;

/// Width and height in pixels.
const SIZE: (u32, u32) = (760, 420);
/// What is wanted at most.
const CEILING: f64 = 1.3;
/// Widths of the lines that show the range of the rounds, in pixels.
const WHISKER: u32 = 8;
const COLOURS: [RGBColor; 2] = [RGBColor(0x1b, 0x5e, 0x9b), RGBColor(0xb8, 0x4a, 0x12)];

/// Draws medians and ranges of the measures of growth, as far as they were found, over the number of events.
///
/// # Errors
/// The picture cannot be drawn.
pub fn growth(measures: &BTreeMap<String, Found>) -> Result<String, Failure> {
    let lines = growth_lines().map(|(name, points)| {
        let found = points.into_iter().filter_map(|(events, measure)| Some((events, measures.get(measure)?)));
        (name, found.collect::<Vec<_>>())
    });
    let all = || lines.iter().flat_map(|(_, points)| points);
    let most_events = all().map(|(events, _)| *events).fold(SHORT_LOG.0 * 10, u64::max);
    let most = all().map(|(_, found)| found.max).fold(CEILING, f64::max) * 1.1;
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
        area.fill(&WHITE)?;
        let mut chart = ChartBuilder::on(&area)
            .caption("Cost as the log grows", ("sans-serif", 18))
            .margin(12)
            .margin_right(36)
            .x_label_area_size(44)
            .y_label_area_size(52)
            .build_cartesian_2d((SHORT_LOG.0..most_events).log_scale(), 0.0..most)?;
        let events = |events: &u64| match events {
            1_000_000.. => format!("{} million", events / 1_000_000),
            _ => format!("{} thousand", events / 1_000),
        };
        chart
            .configure_mesh()
            .x_desc("events in the log")
            .y_desc("median time ÷ that with 10,000 events")
            .x_label_formatter(&events)
            .y_label_formatter(&|ratio| format!("{ratio:.1}"))
            .light_line_style(WHITE)
            .draw()?;
        let ceiling = [(SHORT_LOG.0, CEILING), (most_events, CEILING)];
        chart
            .draw_series(DashedLineSeries::new(ceiling, 6, 4, BLACK.stroke_width(1)))?
            .label("wanted at most")
            .legend(|(x, y)| PathElement::new([(x, y), (x + 20, y)], BLACK));
        for ((name, points), colour) in lines.into_iter().zip(COLOURS) {
            let medians = points.iter().map(|(events, found)| (*events, found.median));
            chart
                .draw_series(LineSeries::new([(SHORT_LOG.0, 1.0)].into_iter().chain(medians), colour.stroke_width(2)))?
                .label(name)
                .legend(move |(x, y)| PathElement::new([(x, y), (x + 20, y)], colour.stroke_width(2)));
            chart.draw_series(points.iter().map(|(events, found)| {
                ErrorBar::new_vertical(*events, found.min, found.median, found.max, colour.filled(), WHISKER)
            }))?;
        }
        chart
            .configure_series_labels()
            .position(SeriesLabelPosition::LowerRight)
            .background_style(WHITE)
            .border_style(BLACK)
            .draw()?;
        area.present()?;
    }
    Ok(svg)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_that_was_found_is_in_the_picture_and_none_that_was_not() {
        let bars = |measures: &BTreeMap<String, Found>| growth(measures).unwrap().matches("<circle").count();
        assert_eq!(bars(&BTreeMap::new()), 0);
        let found = Found::of(&[(1.0, Some(1.0)), (1.2, Some(1.0))], 1.0).unwrap();
        let measures = ["growth_append", "growth_me_1m"].map(|name| (name.to_owned(), found.clone()));
        assert_eq!(bars(&measures.into()), 2);
    }
}
