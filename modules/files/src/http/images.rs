//! Pictures: small versions, and other ones.

use axum::{body::Body as HttpBody, response::Response};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use kernel::{FieldCode, Slug, check::Checks};
use ports::http::{Access, Body, Created, Cx, Operation, Path, Result, Routes, State};
use schemars::JsonSchema;
use serde::Deserialize;
use vips::{Area, Edit, Fit, Output, Resize, Turn};

use super::{
    Service,
    content::{guard, has_already},
    files::FileOut,
};
use crate::model::FileId;

/// What to make of an image: cut out, turned, brought to a size, written; in this order, on the upright image.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct ProcessIn {
    /// Keep this area only.
    pub crop: Option<CropIn>,
    /// Degrees clockwise: 90, 180 or 270.
    pub rotate: Option<i64>,
    /// Bring it to a size.
    pub resize: Option<ResizeIn>,
    /// The form to write it in: WebP unless said, PNG where something shows through.
    pub format: Option<FormatIn>,
    /// 1 to 100; 80 unless said. Means nothing for PNG.
    #[schemars(range(min = 1, max = 100))]
    pub quality: Option<i64>,
}

/// An area of the upright image, in pixels.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct CropIn {
    /// From the left.
    pub left: i64,
    /// From the top.
    pub top: i64,
    /// How wide.
    pub width: i64,
    /// How high.
    pub height: i64,
}

/// A size, in pixels.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct ResizeIn {
    /// 1 to 8192.
    #[schemars(range(min = 1, max = 8192))]
    pub width: i64,
    /// 1 to 8192.
    #[schemars(range(min = 1, max = 8192))]
    pub height: i64,
    /// `inside` unless said.
    #[serde(default)]
    pub fit: FitIn,
}

/// How an image is brought to a size.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum FitIn {
    /// Wholly inside; never enlarged.
    #[default]
    Inside,
    /// Covering all of it, what stands over cut off; never enlarged.
    Cover,
    /// Exactly this size, out of shape if need be.
    Fill,
}

/// Forms of images.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum FormatIn {
    /// WebP.
    Webp,
    /// AVIF.
    Avif,
    /// JPEG; what shows through becomes white.
    Jpeg,
    /// PNG.
    Png,
}

/// What to make of an image, checked.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Change {
    pub edit: Edit,
    pub output: Option<Output>,
    pub quality: u8,
}

/// Longest side that an image is brought to.
const LONGEST: i64 = 8192;

impl ProcessIn {
    fn checked(self) -> kernel::Result<Change> {
        let mut checks = Checks::new();
        let empty = self.crop.is_none() && self.rotate.is_none() && self.resize.is_none();
        let nothing = empty && self.format.is_none() && self.quality.is_none();
        checks.ensure(
            !nothing,
            "/",
            FieldCode::Required,
            "says nothing to do; name crop, rotate, resize, format or quality",
        );
        if let Some(crop) = &self.crop {
            let largest = i64::from(u32::MAX);
            checks.range("/crop/left", crop.left, 0, largest).range("/crop/top", crop.top, 0, largest);
            checks.range("/crop/width", crop.width, 1, largest).range(
                "/crop/height",
                crop.height,
                1,
                largest,
            );
        }
        if let Some(resize) = &self.resize {
            checks.range("/resize/width", resize.width, 1, LONGEST);
            checks.range("/resize/height", resize.height, 1, LONGEST);
        }
        let turn = match self.rotate {
            None => Turn::None,
            Some(90) => Turn::Right,
            Some(180) => Turn::Around,
            Some(270) => Turn::Left,
            Some(_) => {
                checks.refuse("/rotate", FieldCode::NotAllowed, "is 90, 180 or 270");
                Turn::None
            }
        };
        let quality = self.quality.unwrap_or(80);
        checks.range("/quality", quality, 1, 100).finish()?;
        let pixels = |n: i64| u32::try_from(n).unwrap_or(u32::MAX);
        let edit = Edit {
            crop: self.crop.map(|crop| Area {
                left: pixels(crop.left),
                top: pixels(crop.top),
                width: pixels(crop.width),
                height: pixels(crop.height),
            }),
            turn,
            resize: self.resize.map(|resize| {
                let (width, height) = (pixels(resize.width), pixels(resize.height));
                match resize.fit {
                    FitIn::Inside => Resize::Within(Fit { width, height, cover: false }),
                    FitIn::Cover => Resize::Within(Fit { width, height, cover: true }),
                    FitIn::Fill => Resize::Exactly { width, height },
                }
            }),
        };
        let output = self.format.map(|format| match format {
            FormatIn::Webp => Output::WebP,
            FormatIn::Avif => Output::Avif,
            FormatIn::Jpeg => Output::Jpeg,
            FormatIn::Png => Output::Png,
        });
        Ok(Change { edit, output, quality: u8::try_from(quality).unwrap_or(80) })
    }
}

pub(super) fn add(routes: Routes<Service>) -> Routes<Service> {
    routes
        .add(
            Operation::get("/files/{id}/thumbnail/{size}", "getThumbnail", Access::Permission("files.read"))
                .summary("Get a small version of a picture")
                .description(
                    "`icon_32` and `avatar_64` are squares; `card_300`, `preview_600` and `full_1200` lie within one. WebP, or \
                     PNG where something shows through. Upright, in sRGB, without metadata.",
                )
                .problems(&[Slug::FileRejected, Slug::Gone]),
            thumbnail,
        )
        .add(
            Operation::post("/files/{id}/process", "processImage", Access::Permission("files.write"))
                .summary("Make another file from a picture")
                .description("The picture itself stays as it is.")
                .body::<ProcessIn>()
                .answer::<FileOut>(201)
                .problems(&[Slug::FileRejected, Slug::Gone, Slug::InvalidState, Slug::PlanLimitExceeded])
                .example(r#"{"resize":{"width":800,"height":600},"format":"webp","quality":80}"#),
            process,
        )
}

async fn thumbnail(
    State(files): State<Service>,
    Cx(cx): Cx,
    Path((id, size)): Path<(FileId, String)>,
    asked: HeaderMap,
) -> Result<Response> {
    let thumbnail = files.thumbnail(&cx, id, &size).await?;
    let has = has_already(&asked, &thumbnail.tag);
    let mut response = Response::new(if has { HttpBody::empty() } else { HttpBody::from(thumbnail.bytes) });
    if has {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
    }
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(thumbnail.media_type));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("private, max-age=3600"));
    if let Ok(tag) = HeaderValue::from_str(&thumbnail.tag) {
        headers.insert(header::ETAG, tag);
    }
    guard(headers);
    Ok(response)
}

async fn process(
    State(files): State<Service>,
    Cx(cx): Cx,
    Path(id): Path<FileId>,
    Body(wish): Body<ProcessIn>,
) -> Result<Created<FileOut>> {
    Ok(Created(files.process(&cx, id, wish.checked()?).await?))
}

#[cfg(test)]
mod tests {
    use kernel::Result;

    use super::*;

    fn change(json: &str) -> Result<Change> {
        serde_json::from_str::<ProcessIn>(json).map_err(kernel::Error::internal)?.checked()
    }

    #[test]
    fn a_wish_says_what_to_do() {
        let made = change(r#"{"crop":{"left":1,"top":2,"width":3,"height":4},"rotate":270,"format":"jpeg"}"#)
            .unwrap();
        assert_eq!(made.edit.crop, Some(Area { left: 1, top: 2, width: 3, height: 4 }));
        assert_eq!((made.edit.turn, made.output, made.quality), (Turn::Left, Some(Output::Jpeg), 80));
        for (bad, field) in [
            ("{}", "/"),
            (r#"{"rotate":45}"#, "/rotate"),
            (r#"{"quality":0}"#, "/quality"),
            (r#"{"resize":{"width":0,"height":1}}"#, "/resize/width"),
            (r#"{"resize":{"width":1,"height":9000}}"#, "/resize/height"),
            (r#"{"crop":{"left":-1,"top":0,"width":1,"height":1}}"#, "/crop/left"),
            (r#"{"crop":{"left":0,"top":0,"width":0,"height":1}}"#, "/crop/width"),
        ] {
            assert_eq!(change(bad).unwrap_err().field_errors()[0].field, field, "{bad}");
        }
    }
}
